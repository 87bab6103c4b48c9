"""Handing a tree over to a group."""

import os
import stat
from pathlib import Path

import pytest

from nodeagent.volumes.ownership import belongs_to, set_group, wanted_mode

GROUP = os.getgid()


def modes(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root)): stat.S_IMODE(path.lstat().st_mode)
        for path in [root, *root.rglob("*")]
        if not path.is_symlink()
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "volume"
    (root / "dir/deep").mkdir(parents=True)
    for name, mode in (("dir/file", 0o600), ("dir/deep/run", 0o4700), ("ro", 0o400)):
        (root / name).write_text("x")
        (root / name).chmod(mode)
    for name in ("", "dir", "dir/deep"):
        (root / name).chmod(0o700)
    return root


def test_writable_volumes_get_group_read_and_write(tree: Path) -> None:
    """0660 is added to files and 2770 to directories; what a mode had before stays."""
    set_group(tree, GROUP)
    assert modes(tree) == {
        ".": 0o2770,
        "dir": 0o2770,
        "dir/deep": 0o2770,
        "dir/deep/run": 0o4760,
        "dir/file": 0o660,
        "ro": 0o660,
    }


def test_read_only_volumes_get_group_read(tree: Path) -> None:
    """0440 is added to files and 2550 to directories."""
    set_group(tree, GROUP, read_only=True)
    assert modes(tree)["dir/file"] == 0o640
    assert modes(tree)["dir"] == 0o2750


def test_links_are_not_followed(tree: Path, tmp_path: Path) -> None:
    """What a link in the volume leads to keeps its mode, file or directory."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "file").write_text("x")
    (outside / "file").chmod(0o600)
    (tree / "to-dir").symlink_to(outside)
    (tree / "to-file").symlink_to(outside / "file")
    (tree / "dangling").symlink_to("nowhere")
    set_group(tree, GROUP)
    assert modes(outside) == {".": 0o700, "file": 0o600}


def test_on_root_mismatch_trusts_a_finished_root(tree: Path) -> None:
    """With the policy, a root that has group, bits and setgid ends the walk before it starts; without it, never."""
    set_group(tree, GROUP)
    (tree / "ro").chmod(0o400)
    assert belongs_to(tree, GROUP, read_only=False)
    set_group(tree, GROUP, only_on_root_mismatch=True)
    assert modes(tree)["ro"] == 0o400
    set_group(tree, GROUP)
    assert modes(tree)["ro"] == 0o660
    tree.chmod(0o770)
    assert not belongs_to(tree, GROUP, read_only=False)


def test_children_come_first_and_the_root_last(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted walk leaves a root that does not look finished."""
    order: list[str] = []
    real = os.fchmod
    monkeypatch.setattr(
        os, "fchmod", lambda fd, mode: (order.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name), real(fd, mode))
    )
    set_group(tree, GROUP)
    assert order == ["deep", "dir", "volume"]


def test_progress_is_reported_after_30_seconds_and_then_each_minute(tree: Path) -> None:
    """The clock decides; a quick walk reports nothing."""
    ticks = iter(range(0, 1000, 25))
    reports: list[int] = []
    set_group(tree, GROUP, progress=reports.append, clock=lambda: next(ticks))
    assert reports == [2, 4, 6]
    reports.clear()
    set_group(tree, GROUP, progress=reports.append, clock=lambda: 0.0)
    assert reports == []


def test_trees_deeper_than_python_recurses(tmp_path: Path) -> None:
    """A container may nest directories without end."""
    root = tmp_path / "volume"
    root.mkdir()
    directory = os.open(root, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=directory)
        child = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = child
    os.close(directory)
    import sys

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(250)
    try:
        set_group(root, GROUP)
    finally:
        sys.setrecursionlimit(limit)
    assert stat.S_IMODE(root.stat().st_mode) & 0o2770 == 0o2770


@pytest.mark.parametrize(
    ("mode", "read_only", "expected"),
    [
        (stat.S_IFREG | 0o755, False, 0o775),
        (stat.S_IFREG | 0o755, True, 0o755),
        (stat.S_IFDIR | 0o755, False, 0o2775),
        (stat.S_IFDIR | 0o700, True, 0o2750),
    ],
)
def test_wanted_modes(mode: int, read_only: bool, expected: int) -> None:
    """Bits are only ever added."""
    assert wanted_mode(mode, read_only=read_only) == expected
