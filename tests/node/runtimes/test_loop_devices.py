"""Files as block devices, and bind mounts with attributes: on the real kernel."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from components import cannot_be_tested

from runtimes.linux import loop, mounts, syscalls

pytestmark = [pytest.mark.node, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SIZE = 1 << 20


@pytest.fixture
def backing(tmp_path: Path) -> Iterator[int]:
    """A file of 1 MiB, open; no device of it is left."""
    if not loop.available():
        cannot_be_tested("loop devices: there are none here")
    file = tmp_path / "image"
    file.write_bytes(b"first".ljust(SIZE, b"\0"))
    fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    yield fd
    for read_only in (False, True):
        for device in loop.attached(fd, read_only=read_only):
            loop.detach(device)
    os.close(fd)


def test_a_device_lives_until_it_is_detached(backing: int) -> None:
    """It is found by its file, grows with it, and taking apart what is none any more is fine."""
    os.close(loop.attach(backing))
    (device,) = loop.attached(backing)
    assert loop.attached(backing, read_only=True) == []
    with device.open("rb") as file:
        assert file.read(5) == b"first"
        assert file.seek(0, os.SEEK_END) == SIZE
    os.ftruncate(backing, 2 * SIZE)
    loop.grow(device)
    with device.open("rb") as file:
        assert file.seek(0, os.SEEK_END) == 2 * SIZE
    for _ in range(2):
        loop.detach(device)
    assert loop.attached(backing) == []
    assert loop.reopen(backing) is None


def test_a_device_that_goes_with_its_last_user(backing: int) -> None:
    """Held open by another, it stays for that one; and one that is read-only is not written."""
    first = loop.attach(backing, read_only=True, until_closed=True)
    second = loop.reopen(backing, read_only=True)
    assert second is not None
    assert loop.path_of(first) == loop.path_of(second)
    os.close(first)
    assert loop.attached(backing, read_only=True) == [loop.path_of(second)]
    with pytest.raises(OSError):
        os.pwrite(os.open(loop.path_of(second), os.O_WRONLY | os.O_CLOEXEC), b"x" * 512, 0)
    os.close(second)


def test_a_bind_mount_with_attributes(tmp_path: Path) -> None:
    """What was written is read and nothing is written; by descriptors, so that links that come later lead nowhere."""
    source, target, elsewhere = (tmp_path / name for name in ("source", "target", "elsewhere"))
    for folder in (source, target, elsewhere):
        folder.mkdir()
    (source / "file").write_text("content")
    fds = [os.open(folder, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC) for folder in (source, target)]
    source.rename(tmp_path / "moved")
    source.symlink_to(elsewhere)
    try:
        mounts.bind(*fds, attributes=syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOATIME)
        assert (target / "file").read_text() == "content"
        with pytest.raises(OSError, match="Read-only"):
            (target / "new").write_text("")
        assert os.statvfs(target).f_flag & os.ST_NOATIME
        assert not os.statvfs(tmp_path / "moved").f_flag & os.ST_RDONLY
    finally:
        mounts.unmount_all(target)
        for fd in fds:
            os.close(fd)
