"""Escapes by exchanging a folder for a link while the node walks through it. The real kernel, containers played by threads."""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from nodeagent.volumes.ownership import set_group
from nodeagent.volumes.subpath import UnsafePath, open_inside
from runtimes import errors
from runtimes.linux.removal import remove_tree
from runtimes.oci.relabel import ATTRIBUTE, relabel
from runtimes.oci.users import open_in_root

pytestmark = pytest.mark.node

TRIES = 4000
GROUP = 4321
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """What lies outside of the volume."""
    folder = tmp_path / "victim"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/passwd").write_text("victim\n")
    (folder / "x").write_text("victim\n")
    return folder


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with a folder `d`, that is exchanged for the link `l`."""
    folder = tmp_path / "volume"
    (folder / "d/etc").mkdir(parents=True)
    (folder / "d/etc/passwd").write_text("own\n")
    (folder / "d/x").write_text("own\n")
    return folder


@contextmanager
def exchanging(volume: Path, target: Path) -> Iterator[None]:
    """A container that never stops putting a link to `target` where the folder is, and the folder back."""
    (volume / "l").symlink_to(target)
    done = threading.Event()

    def exchange() -> None:
        libc, names = ctypes.CDLL(None, use_errno=True), [bytes(volume / name) for name in ("d", "l")]
        while not done.is_set():
            assert libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def read(descriptor: int) -> str:
    """The content of a file that was opened by O_PATH; the descriptor is closed."""
    try:
        return Path(f"/proc/self/fd/{descriptor}").read_text()
    finally:
        os.close(descriptor)


def test_sub_paths(volume: Path, victim: Path) -> None:
    """A subPath is the volume's own file, or it is refused (CVE-2017-1002101, CVE-2021-25741); nothing is made outside."""
    found: dict[str, int] = {}
    with exchanging(volume, victim):
        for number in range(TRIES):
            path = "d/x" if number % 2 else f"d/made{number}"
            try:
                descriptor = open_inside(volume, path)
                seen = read(descriptor) if number % 2 else os.close(descriptor) or "made"
            except UnsafePath:
                seen = "refused"
            except OSError:
                seen = "gone"
            found[seen] = found.get(seen, 0) + 1
    assert "victim\n" not in found
    assert found.get("own\n", 0) > 0 and found.get("refused", 0) > 0, found
    assert sorted(path.name for path in victim.iterdir()) == ["etc", "x"]


def test_files_of_a_root(volume: Path, victim: Path) -> None:
    """The image's own files are read below its root, whatever becomes of the folders above them (CVE-2022-4318, -2024-9676)."""
    found: set[str] = set()
    with exchanging(volume, victim):
        for _ in range(TRIES):
            try:
                found.add(read(open_in_root(volume, "d/etc/passwd", os.O_PATH)))
            except OSError:
                continue
    assert found == {"own\n"}


def test_the_walk_that_hands_a_volume_over(volume: Path, victim: Path) -> None:
    """fsGroup changes what is in the volume and follows no link out of it."""
    before = {path: (path.lstat().st_gid, path.lstat().st_mode) for path in (victim, *victim.rglob("*"))}
    with exchanging(volume, victim):
        for _ in range(TRIES // 20):
            set_group(volume, GROUP)
    assert {path: (path.lstat().st_gid, path.lstat().st_mode) for path in (victim, *victim.rglob("*"))} == before
    set_group(volume, GROUP)
    assert {path.lstat().st_gid for path in volume.rglob("*")} == {GROUP}


def test_the_walk_that_labels_a_volume(volume: Path, victim: Path) -> None:
    """SELinux labels of a volume reach what is in it, links themselves included, and nothing out of it."""

    def labels(top: Path) -> set[str]:
        found: set[str] = set()
        for path in (top, *top.rglob("*")):
            try:
                found.add(os.getxattr(path, ATTRIBUTE, follow_symlinks=False).decode())
            except OSError:
                found.add("")
        return found

    before = labels(victim)
    with exchanging(volume, victim):
        for _ in range(TRIES // 20):
            relabel(volume, "u:object_r:container_file_t:s0:c1")
    assert labels(victim) == before
    relabel(volume, "u:object_r:container_file_t:s0:c1,c2")
    assert labels(volume) == {"u:object_r:container_file_t:s0:c1,c2\0"}
    relabel(volume / "d/x", "u:object_r:container_file_t:s0")
    assert labels(volume / "d/x") == {"u:object_r:container_file_t:s0\0"}
    with pytest.raises(errors.InvalidArgument, match="relabeling of /usr is not allowed"):
        relabel(Path("/usr"), "u:object_r:container_file_t:s0")


def test_the_removal_of_a_volume(volume: Path, victim: Path) -> None:
    """Deleting follows no link out of the volume, whatever is exchanged, moved and made while it goes on."""
    before = sorted(victim.rglob("*"))
    for _ in range(TRIES // 40):
        with restless(volume, victim):
            for _ in range(3):
                with suppress(OSError):  # made faster than deleted: told, and tried again when the container is gone
                    remove_tree(volume)
                volume.mkdir(exist_ok=True)
        remove_tree(volume)
        assert not volume.exists()
    assert sorted(victim.rglob("*")) == before
    assert (victim / "etc/passwd").read_text() == "victim\n"


@contextmanager
def restless(volume: Path, target: Path) -> Iterator[None]:
    """A container that makes folders, moves them up and down, and puts links to `target` in their place."""
    done = threading.Event()
    moves = (("a/b", "b"), ("b", "a/b"), ("a", "d/a"), ("d/a", "a"))

    def work() -> None:
        libc, names = ctypes.CDLL(None, use_errno=True), [bytes(volume / name) for name in ("d", "l")]
        while not done.is_set():
            with suppress(OSError):
                if (volume / "d").is_symlink():
                    (volume / "d").unlink()
                (volume / "a/b/etc").mkdir(parents=True, exist_ok=True)
                (volume / "d/etc").mkdir(parents=True, exist_ok=True)
                (volume / "d/etc/passwd").write_text("own\n")
                (volume / "l").symlink_to(target)
            for source, place in moves:
                with suppress(OSError):
                    (volume / source).rename(volume / place)
            for _ in range(2):  # there and back: what it makes itself goes into its own folder
                libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
