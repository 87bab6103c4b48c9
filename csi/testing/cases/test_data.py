"""What a pod sees: data, read-only mounts, options, figures, block devices."""

import asyncio
import contextlib
import errno
import os
import stat
from pathlib import Path

import pytest

from csi import errors
from csi.testing import devices
from csi.testing.levels import must, should
from csi.testing.subject import Subject
from csi.testing.volume import VolumeUnderTest
from csi.values import AccessMode, NodeCapability
from proto import csi_pb2 as csi
from runtimes.linux.mountinfo import read_mounts

pytestmark = pytest.mark.asyncio

_NEAR = 0.01  # of what is available, which may change while it is looked at
_ALLOCATED_AT_ONCE = ("btrfs", "ext4", "xfs")  # where fallocate(2) costs nothing
_MOST_FILLED = 1024**3
_SETTLE_ATTEMPTS = 10


@must("NodePublishVolume")
async def test_x1_data_survives(driver: Subject) -> None:
    """Unpublished, unstaged, detached, and published elsewhere: the same bytes, mode and owner."""
    volume = await driver.volume()
    target = await driver.publish(volume)
    file = target / "directory" / "file"
    file.parent.mkdir()
    file.write_bytes(b"precious\0" * 1000)
    file.chmod(0o640)
    with contextlib.suppress(PermissionError):  # a server may keep owners to itself
        os.chown(file, 1000, 2000)
    before = file.stat()
    await driver.take_down(volume)
    file = await driver.publish(volume) / "directory" / "file"
    status = file.stat()
    assert file.read_bytes() == b"precious\0" * 1000
    assert (status.st_mode, status.st_uid, status.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


@must("NodePublishVolume")
async def test_x4_readonly(driver: Subject) -> None:
    """What was written is read, nothing more is written, and the mount says so."""
    volume = await driver.volume()
    target = await driver.publish(volume)
    (target / "file").write_text("precious")
    await driver.unpublish(volume, target)
    target = await driver.publish(volume, readonly=True)
    assert (target / "file").read_text() == "precious"
    _check_readonly(target)


@must("NodePublishVolume")
async def test_x4c_readonly_for_one_of_two(driver: Subject) -> None:
    """Of two targets of one volume the one that is read-only does not make the other so, and sees what is written there."""
    driver.needs(NodeCapability.SINGLE_NODE_MULTI_WRITER)
    volume = await driver.volume(driver.capability(AccessMode.SINGLE_NODE_MULTI_WRITER))
    writer, reader = await driver.publish(volume), await driver.publish(volume, readonly=True)
    (writer / "file").write_text("precious")
    assert (reader / "file").read_text() == "precious"
    _check_readonly(reader)
    await driver.unpublish(volume, reader)
    (writer / "file").write_text("more precious")


@must("NodePublishVolume")
@pytest.mark.parametrize("mode", [mode for mode in AccessMode if mode.reads_only], ids=lambda mode: mode.name)
async def test_x5_a_mode_that_only_reads(driver: Subject, mode: AccessMode) -> None:
    """SINGLE_NODE_READER_ONLY and MULTI_NODE_READER_ONLY, where the driver has them: read-only without `readonly`."""
    try:
        volume = await driver.volume(driver.capability(mode))
        target = await driver.publish(volume)
    except errors.Final as error:
        pytest.skip(f"no such access mode: {error}")
    _check_readonly(target)


@must("NodeGetVolumeStats")
async def test_x8_figures_agree_with_statfs(driver: Subject) -> None:
    """Total bytes and inodes are those of the file system, and what is available nearly so (N23); 0: it is not told."""
    driver.needs(NodeCapability.GET_VOLUME_STATS)
    volume = await driver.volume()
    target = await driver.publish(volume)
    request = csi.NodeGetVolumeStatsRequest(volume_id=volume.volume_id, volume_path=str(target))
    told, found = await driver.node.stats(request), os.statvfs(target)
    usage = told.usage_bytes
    assert usage is not None, "no figures in bytes"
    total = found.f_blocks * found.f_frsize
    own = total <= 2 * driver.implementation.volume_bytes  # of a share of a larger one a driver may tell the share
    assert usage.total in (0, total) or not own
    assert usage.used + usage.available <= usage.total or not usage.total
    if usage.total == total and usage.available:
        assert abs(usage.available - found.f_bavail * found.f_frsize) <= _NEAR * total
    if told.usage_inodes is not None and own:
        assert told.usage_inodes.total in (0, found.f_files)


@should("NodeGetVolumeStats")
async def test_x8b_figures_of_a_block_device(driver: Subject) -> None:
    """`total` is the size of the device, where figures are told."""
    driver.needs(NodeCapability.GET_VOLUME_STATS)
    volume = await driver.block_volume()
    target = await driver.publish(volume)
    request = csi.NodeGetVolumeStatsRequest(volume_id=volume.volume_id, volume_path=str(target))
    told = await driver.node.stats(request)
    assert told.usage_bytes is None or told.usage_bytes.total in (0, devices.size(target))


@should("NodeGetVolumeStats")
async def test_x9_a_volume_that_runs_full(driver: Subject) -> None:
    """There is no room for more than it has (ENOSPC, EDQUOT); what is used rises meanwhile, and falls when the file is gone."""
    volume = await driver.volume()
    target = await driver.publish(volume)
    total, used = await _figures(driver, volume, target)
    if total > 2 * driver.implementation.volume_bytes:
        pytest.skip(f"the volume has no limit of its own: there are {total} bytes in all")
    if total > _MOST_FILLED and _fs_type(target) not in _ALLOCATED_AT_ONCE:
        pytest.skip(f"{total} bytes are too many to be written: name less (--csi-volume-size)")
    filled = await asyncio.to_thread(devices.fill, target / "file", step=max(total // 16, 4096), most=2 * total)
    assert 0 < filled <= total
    assert (await _figures(driver, volume, target))[1] >= used + filled // 2
    (target / "file").unlink()
    for _ in range(_SETTLE_ATTEMPTS):  # some file systems give back a moment later
        if (left := (await _figures(driver, volume, target))[1]) < used + filled // 2:
            return
        await asyncio.sleep(1)
    pytest.fail(f"{left} bytes are told as used when what filled the volume is gone; before there were {used}")


@must("NodeGetVolumeStats")
async def test_n24_a_condition(driver: Subject) -> None:
    """With VOLUME_CONDITION it is told, with a message, and a new volume is not abnormal."""
    driver.needs(NodeCapability.GET_VOLUME_STATS, NodeCapability.VOLUME_CONDITION)
    volume = await driver.volume()
    target = await driver.publish(volume)
    request = csi.NodeGetVolumeStatsRequest(volume_id=volume.volume_id, volume_path=str(target))
    condition = (await driver.node.stats(request)).condition
    assert condition is not None
    assert not condition.abnormal
    assert condition.message


@must("NodeStageVolume")
async def test_x13_the_file_system_that_was_asked_for(driver: Subject) -> None:
    """The mount table has its name, and what was written is there when it is mounted again."""
    if not driver.implementation.fs_type:
        pytest.skip("no file system to ask for (--csi-fs-type)")
    volume = await driver.volume()
    target = await driver.publish(volume)
    (target / "file").write_text("precious")
    await driver.take_down(volume)
    target = await driver.publish(volume)
    assert [each.fstype for each in read_mounts() if each.point == str(target)] == [driver.implementation.fs_type]
    assert (target / "file").read_text() == "precious"


@should("NodePublishVolume")
async def test_x12_mount_flags(driver: Subject) -> None:
    """`noatime` and `nodev` are in force where the volume is published."""
    try:
        volume = await driver.volume(driver.capability(flags=("noatime", "nodev")))
        target = await driver.publish(volume)
    except errors.Final as error:
        pytest.skip(f"no such mount flags: {error}")
    found = os.statvfs(target).f_flag
    assert found & os.ST_NOATIME
    assert found & os.ST_NODEV


@must("NodePublishVolume")
async def test_x19_a_long_target(driver: Subject) -> None:
    """A path of 128 bytes and more is nothing special."""
    volume = await driver.volume()
    await driver.stage(volume)
    target = driver.path().parent / ("x" * 128)
    volume.targets.append(target)
    await driver.node.publish_volume(driver.publish_request(volume, target))
    (target / "file").write_text("content")


@must("NodePublishVolume")
async def test_x3_a_block_device(driver: Subject) -> None:
    """The target is a device, as large as asked for; what is written at its beginning and its end survives."""
    volume = await driver.block_volume()
    target = await driver.publish(volume)
    assert stat.S_ISBLK(target.stat().st_mode)
    size = devices.size(target)
    assert size >= driver.implementation.volume_bytes
    devices.write(target, b"begin")
    devices.write(target, b"end", at=size - 3)
    await driver.take_down(volume)
    target = await driver.publish(volume)
    assert (devices.read(target, 5), devices.read(target, 3, at=size - 3)) == (b"begin", b"end")


@must("NodePublishVolume")
async def test_x4b_a_readonly_block_device(driver: Subject) -> None:
    """It is read, and not written."""
    volume = await driver.block_volume()
    target = await driver.publish(volume)
    devices.write(target, b"precious")
    await driver.unpublish(volume, target)
    target = await driver.publish(volume, readonly=True)
    assert devices.read(target, 8) == b"precious"
    with pytest.raises(OSError) as caught:
        devices.write(target, b"overwritten")
    assert caught.value.errno in (errno.EPERM, errno.EACCES, errno.EROFS)
    assert devices.read(target, 8) == b"precious"


@must("NodePublishVolume")
async def test_x3b_publishing_a_block_device_is_idempotent(driver: Subject) -> None:
    """One mount, the same device; unpublished it is gone, and so is the file that it was mounted on."""
    volume = await driver.block_volume()
    target = await driver.publish(volume)
    device = target.stat().st_rdev
    for _ in range(3):
        await driver.node.publish_volume(driver.publish_request(volume, target))
    assert (driver.depth(target), target.stat().st_rdev) == (1, device)
    await driver.unpublish(volume, target)
    assert not target.exists()


async def _figures(driver: Subject, volume: VolumeUnderTest, target: Path) -> tuple[int, int]:
    """(total, used) as the driver tells them; as the kernel does, where it tells none."""
    if driver.can(NodeCapability.GET_VOLUME_STATS):
        request = csi.NodeGetVolumeStatsRequest(volume_id=volume.volume_id, volume_path=str(target))
        told = (await driver.node.stats(request)).usage_bytes
        if told is not None and told.total:
            return told.total, told.used
    found = os.statvfs(target)
    unit = found.f_frsize
    return found.f_blocks * unit, (found.f_blocks - found.f_bfree) * unit


def _fs_type(target: Path) -> str:
    return next((each.fstype for each in read_mounts() if each.point == str(target)), "")


def _check_readonly(target: Path) -> None:
    assert os.statvfs(target).f_flag & os.ST_RDONLY, "the mount is not read-only"
    with pytest.raises(OSError) as caught:
        (target / "new").write_text("")
    assert caught.value.errno == errno.EROFS
