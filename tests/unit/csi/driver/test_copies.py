"""Copies of directory trees and of files with holes."""

import os
import socket
import stat
from pathlib import Path

import pytest

from csi.driver.image_copy import copy_content
from csi.driver.tree_copy import copy_tree
from runtimes.linux.tree_walk import TreeWalk

MIB = 1024**2


def copied(source: Path, target: Path) -> None:
    target.mkdir()
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    try:
        copy_tree(*fds)
    finally:
        for fd in fds:
            os.close(fd)


def listing(folder: Path) -> list[tuple[str, int, int]]:
    """(path, kind and mode, time) of everything, and of the folder itself."""
    paths = [folder, *sorted(folder.rglob("*"))]
    return [(str(p.relative_to(folder)), p.lstat().st_mode, p.lstat().st_mtime_ns) for p in paths]


def test_a_tree_is_the_same(tmp_path: Path) -> None:
    """Names, kinds, modes, times, contents, links as links; and how deep it is does not matter."""
    source, target = tmp_path / "source", tmp_path / "target"
    deep = source
    for number in range(60):
        deep = deep / f"directory-{number}"
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    (source / "empty").mkdir(mode=0o500)
    (source / "file\n").write_bytes(b"\0content")
    (source / "file\n").chmod(0o4751)
    (source / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "pipe")
    os.utime(source / "empty", ns=(1, 2))
    copied(source, target)
    assert listing(target) == listing(source)
    assert (target / "file\n").read_bytes() == b"\0content"
    assert (target / deep.relative_to(source) / "file").read_text() == "deep"
    assert os.readlink(target / "link") == "/etc/passwd"


def test_what_is_not_of_the_tree_does_not_come(tmp_path: Path) -> None:
    """A link to a directory outside stays a link, a socket is left out."""
    source, outside = tmp_path / "source", tmp_path / "outside"
    source.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (source / "out").symlink_to(outside)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(source / "socket"))
        copied(source, tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["out"]
    assert stat.S_ISLNK((tmp_path / "target" / "out").lstat().st_mode)


def test_a_directory_that_goes_meanwhile_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone after it was seen, before it is entered: nothing of it is in the copy, the rest is."""
    source, enter = tmp_path / "source", TreeWalk.enter
    (source / "going").mkdir(parents=True)
    (source / "staying").mkdir()

    def late(tree: TreeWalk, name: str) -> None:
        if name == "going":
            (source / name).rmdir()
        enter(tree, name)

    monkeypatch.setattr(TreeWalk, "enter", late)
    copied(source, tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["staying"]


def test_holes_stay_holes(tmp_path: Path) -> None:
    """A file of 64 MiB with a few bytes in it is copied as one that takes next to no room."""
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.truncate(64 * MIB)
        file.seek(MIB)
        file.write(b"one")
        file.seek(40 * MIB)
        file.write(b"two")
    with source.open("rb") as old, target.open("wb") as new:
        copy_content(old.fileno(), new.fileno())
    assert target.stat().st_size == 64 * MIB
    assert target.stat().st_blocks * 512 < MIB
    with target.open("rb") as file:
        file.seek(MIB)
        assert file.read(4) == b"one\0"
        file.seek(40 * MIB)
        assert file.read(3) == b"two"
