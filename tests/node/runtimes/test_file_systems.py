"""File systems on real block devices: nothing that is there is ever formatted."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from volume_subjects import disk

from runtimes.linux import file_systems, loop
from runtimes.linux.file_systems import FileSystemError, HasErrors, Mismatch, UnformattedReadOnly
from runtimes.linux.mount_options import parse
from runtimes.linux.mounts import unmount_all

pytestmark = pytest.mark.node

SIZE = 16 << 20
PARTITION_TABLE = b"\0\x20\x21\0\x83\x28\x20\x08\0\x08\0\0\0\x10\0\0" + bytes(48) + b"\x55\xaa"


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path, SIZE) as path:
        yield path


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mnt").mkdir()
    yield tmp_path / "mnt"
    unmount_all(tmp_path / "mnt")


async def test_an_empty_device_is_formatted_once(device: Path, point: Path) -> None:
    """Then it is what it is: checked and mounted as often as it is asked for, with what is in it."""
    assert await file_systems.probe(device) == ""
    for _ in range(2):
        assert await file_systems.prepare(device, "ext4", read_only=False) == "ext4"
        await file_systems.mount(device, point, "ext4", parse(["noatime"]))
        (point / "file").touch()
        unmount_all(point)
    assert await file_systems.prepare(device, "ext4", read_only=True) == "ext4"
    await file_systems.mount(device, point, "ext4", parse(["ro"]))
    with pytest.raises(OSError, match="Read-only file system"):
        (point / "other").touch()
    assert {entry.name for entry in point.iterdir()} == {"file", "lost+found"}


async def test_what_may_only_be_read_is_not_formatted(device: Path) -> None:
    """Nothing is there, and nothing is there afterwards."""
    with pytest.raises(UnformattedReadOnly, match=f"cannot mount unformatted disk {device}"):
        await file_systems.prepare(device, "ext4", read_only=True)
    assert await file_systems.probe(device) == ""


async def test_partitions_are_somebodys(device: Path, point: Path) -> None:
    """A partition table, and nothing in it: it is not formatted, and the mount says what is there; nor beside a file system."""
    _write(device, 446, PARTITION_TABLE)
    found = await file_systems.prepare(device, "ext4", read_only=False)
    assert found == "unknown data, probably partitions"
    with pytest.raises(Mismatch, match="there is unknown data, probably partitions"):
        await file_systems.mount(device, point, "ext4", parse([]))
    await file_systems.make(device, "ext4")
    _write(device, 446, PARTITION_TABLE)
    assert await file_systems.probe(device) == "unknown data, probably partitions"


async def test_another_file_system_stays(device: Path, point: Path) -> None:
    """Asked for as another type it is not mounted, and keeps what it has."""
    await file_systems.make(device, "ext3")
    assert await file_systems.prepare(device, "xfs", read_only=False) == "ext3"
    with pytest.raises(Mismatch, match=r"as xfs failed: .*; there is ext3"):
        await file_systems.mount(device, point, "xfs", parse([]))
    assert await file_systems.probe(device) == "ext3"


async def test_damage_beyond_repair_is_told(device: Path) -> None:
    """The device is not mounted before somebody has looked at it."""
    await file_systems.make(device, "ext4")
    _write(device, 0x1000, b"\xff" * (1 << 20))
    with pytest.raises(HasErrors, match=f"'fsck' found errors on device {device} but could not correct them"):
        await file_systems.check(device)


async def test_a_file_system_that_is_not_mounted_grows(device: Path, tmp_path: Path, point: Path) -> None:
    """To the size of its device, with what is in it; once more is fine. What grows mounted alone is left."""
    await file_systems.make(device, "ext4")
    os.truncate(tmp_path / "disk", 2 * SIZE)
    loop.grow(device)
    assert file_systems.size_bytes(device) == 2 * SIZE
    for _ in range(2):
        assert await file_systems.grow_unmounted(device, "ext4")
    await file_systems.mount(device, point, "ext4", parse([]))
    system = os.statvfs(point)
    assert system.f_blocks * system.f_frsize > 1.5 * SIZE
    assert not await file_systems.grow_unmounted(device, "xfs")


async def test_types_that_nobody_knows(device: Path) -> None:
    """No program is run whose name is not that of a type; one that is missing is told."""
    with pytest.raises(FileSystemError, match=r"'\.\./sh' is no file system type"):
        await file_systems.make(device, "../sh")
    with pytest.raises(FileSystemError, match=r"mkfs\.none is not installed here"):
        await file_systems.prepare(device, "none", read_only=False)


def test_a_device_says_whether_it_may_be_written(device: Path, tmp_path: Path) -> None:
    backing = os.open(tmp_path / "disk", os.O_RDONLY)
    reading = loop.attach(backing, read_only=True, until_closed=True)
    os.close(backing)
    try:
        assert file_systems.is_read_only(loop.path_of(reading))
        assert not file_systems.is_read_only(device)
    finally:
        os.close(reading)


def _write(device: Path, offset: int, data: bytes) -> None:
    with device.open("r+b") as file:
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
