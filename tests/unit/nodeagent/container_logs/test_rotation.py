"""What a rotation does, as a table."""

from datetime import datetime

import pytest

from nodeagent.container_logs.rotation import Rotation, rotation, stamps, to_pack

NOW = datetime(2026, 1, 2, 3, 4, 5)
OWN = "0.log.20260102-030405"


def log(day: int, end: str = "") -> str:
    return f"0.log.202601{day:02d}-000000{end}"


@pytest.mark.parametrize(
    ("names", "max_files", "expected"),
    [
        ([], 5, Rotation(remove=(), rotated=OWN)),
        ([log(1)], 5, Rotation(remove=(), rotated=OWN)),
        ([log(1, ".gz")], 5, Rotation(remove=(), rotated=OWN)),
        # killed after the packed file got its name: the original goes
        ([log(1), log(1, ".gz")], 5, Rotation(remove=(log(1),), rotated=OWN)),
        # killed while it was written: the rest goes, the original is packed up again
        ([log(1), log(1, ".tmp")], 5, Rotation(remove=(log(1, ".tmp"),), rotated=OWN)),
        # with this one and the live log there are five
        (
            [log(1, ".gz"), log(2, ".gz"), log(1), *map(log, (29, 30))],
            5,
            Rotation(remove=(log(1), log(1, ".gz")), rotated="0.log.20260130-000001"),
        ),
        ([log(1, ".gz"), log(2)], 2, Rotation(remove=(log(1, ".gz"), log(2)), rotated=OWN)),
        ([log(1, ".gz"), log(2)], 3, Rotation(remove=(log(1, ".gz"),), rotated=OWN)),
        # two in one second, and a clock that was set back: the names go on upwards
        ([OWN], 5, Rotation(remove=(), rotated="0.log.20260102-030406")),
        (
            ["0.log.20271231-235959.gz"],
            5,
            Rotation(remove=(), rotated="0.log.20280101-000000"),
        ),
        (["0.log.99999999-999999.gz"], 5, Rotation(remove=(), rotated="0.log.99999999-999999")),
        # another's, and conmon's own temporary file
        (
            ["1.log", "1.log.20260101-000000", "0.log.tmp", "0.log.old", "0.log.20260101-000000.bz2", "10.log"],
            2,
            Rotation(remove=(), rotated=OWN),
        ),
    ],
)
def test_rotation(names: list[str], max_files: int, expected: Rotation) -> None:
    """What goes, and the new name follow from the names that are there."""
    assert rotation("0.log", [*names, "0.log"], max_files=max_files, now=NOW) == expected


def test_stamps() -> None:
    """Oldest first, packed and unpacked are one, what is no rotated file is left out."""
    names = ["0.log", log(3), log(1, ".gz"), log(3, ".gz"), log(2, ".tmp"), "0.log.tmp", "1.log.20260101-000000"]
    assert stamps("0.log", names) == ["20260101-000000", "20260103-000000"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        ([log(1)], []),
        ([log(1), log(2)], [log(1)]),
        ([log(3), log(2), log(1)], [log(1), log(2)]),
        ([log(1, ".gz"), log(2), log(3, ".gz"), log(4)], [log(2)]),
        # killed while one was packed, and after the packed one got its name
        ([log(1), log(1, ".tmp"), log(2), log(2, ".gz"), log(3)], [log(1), log(2)]),
        (["1.log.20260101-000000", "0.log.old", "0.log.tmp", log(1)], []),
    ],
)
def test_what_is_packed_up(names: list[str], expected: list[str]) -> None:
    """All rotated files but the newest, oldest first."""
    assert to_pack("0.log", ["0.log", *names]) == expected
