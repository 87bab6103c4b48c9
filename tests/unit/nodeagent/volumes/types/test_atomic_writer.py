"""The payload layout and its atomic switch."""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.types.atomic_writer import FileEntry, check_path, write_payload


def entry(text: str, mode: int = 0o644) -> FileEntry:
    return FileEntry(data=text.encode(), mode=mode)


def noon() -> datetime:
    return datetime(2026, 7, 9, 12, 0, 5, tzinfo=UTC)


def visible(directory: Path) -> dict[str, str]:
    """What a container reads: path -> content, through the links."""
    found = (Path(parent, name) for parent, _, names in os.walk(directory, followlinks=True) for name in names)
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in found
        if not str(path.relative_to(directory)).startswith("..")
    }


def test_layout_of_a_first_write(tmp_path: Path) -> None:
    """One dated payload directory, ..data to it, and a relative link for each first path component."""
    assert write_payload(tmp_path, {"a": entry("1", 0o400), "d/e/f": entry("2"), "d/g": entry("3")}, now=noon)
    payload = os.readlink(tmp_path / "..data")
    assert payload.startswith("..2026_07_09_12_00_05.")
    assert sorted(os.listdir(tmp_path)) == sorted([payload, "..data", "a", "d"])
    assert (os.readlink(tmp_path / "a"), os.readlink(tmp_path / "d")) == ("..data/a", "..data/d")
    assert stat.S_IMODE((tmp_path / payload).stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o400
    assert visible(tmp_path) == {"a": "1", "d/e/f": "2", "d/g": "3"}


def test_an_equal_payload_is_not_rewritten(tmp_path: Path) -> None:
    """The same names and bytes change nothing, even with another mode; a link that was lost comes back."""
    write_payload(tmp_path, {"a": entry("1"), "b": entry("2")})
    payload = os.readlink(tmp_path / "..data")
    (tmp_path / "a").unlink()
    assert not write_payload(tmp_path, {"a": entry("1", 0o600), "b": entry("2")})
    assert os.readlink(tmp_path / "..data") == payload
    assert visible(tmp_path) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    "payload",
    [
        {"a": "1", "b": "changed"},
        {"a": "1"},
        {"a": "1", "b": "2", "c": "3"},
        {"a": "1", "b": "22"},
        {"a": "1", "b/c": "2"},
        {},
    ],
)
def test_any_other_payload_replaces_the_old_one(tmp_path: Path, payload: dict[str, str]) -> None:
    """Afterwards only the new files and the new payload directory are there."""
    write_payload(tmp_path, {"a": entry("1"), "b": entry("2")})
    assert write_payload(tmp_path, {path: entry(text) for path, text in payload.items()})
    assert visible(tmp_path) == payload
    names = {path.split("/")[0] for path in payload}
    assert sorted(os.listdir(tmp_path)) == sorted([os.readlink(tmp_path / "..data"), "..data", *names])


def test_permissions_are_set_before_readers_see_the_files(tmp_path: Path) -> None:
    """The callback gets the new payload directory while ..data still leads to the old one."""
    write_payload(tmp_path, {"a": entry("1")})
    seen: list[tuple[bool, str]] = []

    def set_permissions(payload: Path) -> None:
        seen.append((payload.name == os.readlink(tmp_path / "..data"), (tmp_path / "a").read_text()))

    write_payload(tmp_path, {"a": entry("2")}, set_permissions=set_permissions)
    assert seen == [(False, "1")]


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    """An error before the switch removes what was written of the new payload."""
    write_payload(tmp_path, {"a": entry("1")})
    before = sorted(os.listdir(tmp_path))

    def fail(payload: Path) -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        write_payload(tmp_path, {"a": entry("2")}, set_permissions=fail)
    assert sorted(os.listdir(tmp_path)) == before
    assert visible(tmp_path) == {"a": "1"}


def test_leftovers_of_a_kill_are_cleaned_up(tmp_path: Path) -> None:
    """A payload directory and a temporary link of a write that never finished do not stay, nor stop the next one."""
    write_payload(tmp_path, {"a": entry("1")})
    (tmp_path / "..2020_01_01_00_00_00.1").mkdir()
    (tmp_path / "..data_tmp").symlink_to("..2020_01_01_00_00_00.1")
    write_payload(tmp_path, {"a": entry("2")})
    assert sorted(os.listdir(tmp_path)) == sorted([os.readlink(tmp_path / "..data"), "..data", "a"])


def test_a_dangling_current_link_counts_as_no_content(tmp_path: Path) -> None:
    """When the payload that ..data names is gone, the files are written again."""
    (tmp_path / "..data").symlink_to("..gone")
    assert write_payload(tmp_path, {"a": entry("1")})
    assert visible(tmp_path) == {"a": "1"}


@pytest.mark.parametrize(
    "path", ["", "a\0b", "/abs", "..", "../up", "a/../b", "..hidden", "..data", "a/" + "x" * 256, "a/" * 2100 + "b"]
)
def test_bad_paths_write_nothing(tmp_path: Path, path: str) -> None:
    """Paths that climb, are absolute, too long or look like the writer's own are refused before anything is written."""
    with pytest.raises(VolumeError, match="invalid path"):
        write_payload(tmp_path, {"good": entry("1"), path: entry("2")})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["a", ".a", "a..b", "a/..b", "a/b/c", "x" * 255])
def test_good_paths_pass(path: str) -> None:
    """Dots inside names are fine."""
    check_path(path)


NAMES = st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(NAMES, st.text(max_size=3)), min_size=1, max_size=5))
def test_any_sequence_of_payloads_ends_with_the_last(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[dict[str, str]]
) -> None:
    """Whatever was written before, the visible files are those of the last payload."""
    directory = tmp_path_factory.mktemp("volume")
    for payload in payloads:
        write_payload(directory, {path: FileEntry(data=text.encode(), mode=0o644) for path, text in payload.items()})
    found = {path: (directory / path).read_bytes().decode() for path in visible_paths(directory)}
    assert found == payloads[-1]


def visible_paths(directory: Path) -> list[str]:
    return [
        path
        for parent, _, names in os.walk(directory, followlinks=True)
        for name in names
        if not (path := str(Path(parent, name).relative_to(directory))).startswith("..")
    ]
