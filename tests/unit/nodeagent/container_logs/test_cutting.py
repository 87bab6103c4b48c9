"""What a log has beyond all its bounds is cut, and the cut is told where it is."""

import os
import re
from pathlib import Path

import pytest

from nodeagent.container_logs.cutting import cut, cuts
from nodeagent.container_logs.folder import LogFolder, NotALog


def log(day: int, end: str = "") -> str:
    return f"0.log.202601{day:02d}-000000{end}"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"0.log": 100, log(1): 100, log(2): 100}, []),
        ({"0.log": 0, log(1): 290, log(2): 10}, []),  # a burst within all bounds stays whole
        ({"0.log": 0, log(1): 290, log(2): 11}, [log(1)]),
        ({"0.log": 0, log(1): 200, log(2): 200}, [log(1)]),
        ({"0.log": 0, log(1): 200, log(2): 10**12}, [log(1), log(2)]),
        ({"0.log": 10**12, log(1): 90, log(2): 101}, [log(2)]),
        ({"0.log": 0, log(1, ".gz"): 10**12, log(2): 100}, []),  # what is packed cannot be cut, and goes in its turn
        ({"0.log": 0}, []),
    ],
)
def test_what_is_cut(sizes: dict[str, int], expected: list[str]) -> None:
    """At most 100 bytes in each of 3 files: the oldest too large ones, until all together fit."""
    assert cuts(sizes, "0.log", max_bytes=100, max_files=3) == expected


def line(tag: str, text: str, stream: str = "stdout") -> str:
    return f"2026-01-02T03:04:05.000000006+00:00 {stream} {tag} {text}\n"


NOTICE = re.compile(
    r"[-0-9]{10}T[:0-9]{8}\.\d{9}Z stderr F \[nodeagent: (\d+) bytes of this log are cut here: "
    r"it was written faster than it can be kept\]\n"
)


def cut_to(folder: Path, text: str, max_bytes: int) -> tuple[int, str, int]:
    """(bytes cut, what is left without the notice, bytes that the notice tells)."""
    path = folder / "0.log.1"
    path.write_text(text)
    os.utime(path, ns=(1_000_000_001, 2_000_000_002))
    with LogFolder(folder) as held:
        gone = cut(held, path.name, max_bytes)
    left = path.read_text()
    found = NOTICE.search(left)
    assert found is not None and found.end() == len(left), left
    assert path.stat().st_mtime_ns == 2_000_000_002, "a reader that lags knows it again"
    return gone, left[: found.start()], int(found[1])


def test_whole_lines_are_kept(tmp_path: Path) -> None:
    """The beginning of the file, up to a line's end."""
    lines = [line("F", f"line {number}") for number in range(100)]
    size = len("".join(lines[:50]))
    gone, left, told = cut_to(tmp_path, "".join(lines), size + 10)
    assert left == "".join(lines[:50])
    assert gone == told == len("".join(lines)) - size


def test_a_partial_line_is_ended(tmp_path: Path) -> None:
    """Without newlines the container's text ends where it was cut, and the notice is a line of its own."""
    pieces = [line("P", "x" * 8000, "stderr") for _ in range(10)]
    _, left, _ = cut_to(tmp_path, "".join(pieces), 20_000)
    assert left.startswith("".join(pieces[:2]))
    assert re.fullmatch(r"\S+ stderr F \n", left.removeprefix("".join(pieces[:2])))


def test_what_has_no_lines_at_all(tmp_path: Path) -> None:
    """Cut where the bound is."""
    gone, left, _ = cut_to(tmp_path, "x" * 300_000, 100_000)
    assert (gone, left) == (200_000, "x" * 100_000 + "\n")


def test_what_was_cut_is_not_cut_again(tmp_path: Path) -> None:
    """The notice, which goes beyond the bound, still tells what was lost."""
    cut_to(tmp_path, "".join(line("P", "x" * 100) for _ in range(100)), 1000)
    before = (tmp_path / "0.log.1").read_text()
    with LogFolder(tmp_path) as held:
        assert cut(held, "0.log.1", 1000) == 0
    assert (tmp_path / "0.log.1").read_text() == before


def test_small_files_and_links_are_left_alone(tmp_path: Path) -> None:
    """A pod that may write to the log folders gets nothing cut outside."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "outside").write_text("o" * 1000)
    (tmp_path / "logs" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "logs" / "small").write_text("s" * 100)
    with LogFolder(tmp_path / "logs") as folder:
        assert cut(folder, "small", 100) == 0
        with pytest.raises(NotALog):
            cut(folder, "link", 10)
    assert (tmp_path / "outside").read_text() == "o" * 1000
    assert (tmp_path / "logs" / "small").read_text() == "s" * 100
