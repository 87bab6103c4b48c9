"""The reference driver under kill -9: before every call that changes something, and within calls."""

import asyncio
import contextlib
import fcntl
import os
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from components import needs
from csi_driver import MEBIBYTE, DriverProcess
from live_trees import paths_below

from csi import errors
from csi.testing.cases.test_data import test_x3_a_block_device
from csi.testing.cases.test_expand import test_x11_growing_while_it_is_not_used
from csi.testing.cases.test_groups import test_g5_a_group_has_one_of_each
from csi.testing.cases.test_snapshots import test_s16_what_was_there_is_there_again
from csi.testing.fixtures import driver
from csi.testing.implementation import Implementation
from csi.values import AccessMode, mount_capability
from proto import csi_pb2 as csi
from runtimes.linux import mounts

__all__ = [
    "driver",
    "test_g5_a_group_has_one_of_each",
    "test_s16_what_was_there_is_there_again",
    "test_x3_a_block_device",
    "test_x11_growing_while_it_is_not_used",
]

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    needs("mkfs.ext4", "resize2fs", "e2fsck"),
]
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
CHANGES = re.compile(r"(Create|Delete|(Controller|Node)(Stage|Unstage|Publish|Unpublish|Expand))\w*")


@pytest_asyncio.fixture
async def process() -> AsyncIterator[DriverProcess]:
    """A driver of the test's own, of which nothing is left."""
    made = DriverProcess(Path(tempfile.mkdtemp(prefix="csik-")))
    await made.start()
    yield made
    assert made.clear() == []


@pytest.fixture
def csi_implementation(process: DriverProcess) -> Implementation:
    """Killed and started again before every call that changes something."""

    async def before(call: str) -> None:
        if CHANGES.fullmatch(call):
            await process.restart()

    return process.implementation(parameters={"backing": "image"}, before_call=before)


def freeze(mount: Path) -> None:
    """As a driver leaves it that is killed at its snapshot; it may have been."""
    fd = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, FIFREEZE, 0)
    os.close(fd)


def held_up(mount: Path) -> bool:
    """Whether writes are; they go on in any case. To write would be to wait, whatever signals come."""
    fd = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, FITHAW, 0)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def signs(process: DriverProcess) -> object:
    """What shows outside that a call has begun: the driver's files change, or what is mounted."""
    files = {}
    for path in paths_below(process.state):
        with contextlib.suppress(FileNotFoundError):
            files[path] = path.lstat().st_mtime_ns
    return files, mounts.mounts_below(process.folder)


@pytest.mark.parametrize("steps", [1, 2])
async def test_killed_within_calls(process: DriverProcess, steps: int) -> None:
    """Each call of a volume's life is cut off and asked again: one volume, one mount, its data, no leftovers.

    Cut off at the first change that it makes, and at the second, or when it is answered before that (when it is sent: X16 of
    csi/testing). Writes that were held up for a snapshot go on.
    """
    folder = process.folder
    staging, target, name = folder / "staging", folder / "target", secrets.token_hex(8)
    staging.mkdir()
    capability = mount_capability(AccessMode.SINGLE_NODE_WRITER, fs_type="ext4")
    controller, node = process.client.controller, process.client.node

    async def cut_off(call: Callable[[], Awaitable[object]], then: Callable[[], None] = lambda: None) -> object:
        before, begun = signs(process), asyncio.ensure_future(call())
        await asyncio.sleep(0.001)
        for _ in range(steps):
            while not begun.done() and signs(process) == before:  # noqa: ASYNC110 - of mounts nobody tells
                await asyncio.sleep(0)
            before = signs(process)
        process.kill()
        with contextlib.suppress(errors.Uncertain, errors.Unreachable):
            await begun
        then()
        await process.start()
        return await call()

    create = csi.CreateVolumeRequest(
        name=name,
        volume_capabilities=[capability],
        capacity_range=csi.CapacityRange(required_bytes=16 * MEBIBYTE),
    )
    made = await cut_off(lambda: controller.create_volume(create))
    assert isinstance(made, csi.CreateVolumeResponse)
    identity = made.volume.volume_id
    assert [each.volume.volume_id async for each in controller.volumes()] == [identity]
    stage = csi.NodeStageVolumeRequest(
        volume_id=identity, staging_target_path=str(staging), volume_capability=capability
    )
    publish = csi.NodePublishVolumeRequest(
        volume_id=identity,
        staging_target_path=str(staging),
        target_path=str(target),
        volume_capability=capability,
    )
    await cut_off(lambda: node.stage_volume(stage))
    await cut_off(lambda: node.publish_volume(publish))
    assert sorted(mounts.mounts_below(folder)) == [staging, target]
    (target / "file").write_text("precious")
    take = csi.CreateSnapshotRequest(name=name, source_volume_id=identity)
    await cut_off(lambda: controller.create_snapshot(take), lambda: freeze(staging))
    assert not held_up(staging)
    assert len((await controller.list_snapshots(csi.ListSnapshotsRequest())).entries) == 1
    assert (target / "file").read_text() == "precious"
    unpublish = csi.NodeUnpublishVolumeRequest(volume_id=identity, target_path=str(target))
    unstage = csi.NodeUnstageVolumeRequest(volume_id=identity, staging_target_path=str(staging))
    await cut_off(lambda: node.unpublish_volume(unpublish))
    await cut_off(lambda: node.unstage_volume(unstage))
    await cut_off(lambda: controller.delete_volume(csi.DeleteVolumeRequest(volume_id=identity)))
    assert [path.name for path in (process.state / "volumes").iterdir()] == []
    assert not target.exists()
