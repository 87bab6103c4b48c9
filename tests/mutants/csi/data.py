"""Faults of what a pod sees: data, read-only mounts, options, figures, block devices."""

import os
from pathlib import Path
from typing import Any

from typing_extensions import override

from csi import errors
from csi.driver import contents, publication
from csi.values import AccessMode
from proto import csi_pb2 as csi
from runtimes.linux import mounts
from tests.mutants.csi.driver import Mutant


class UnstagedIsEmpty(Mutant):
    """NodeUnstageVolume removes the data."""

    caught_by = "X1"
    also = ("C24", "G5")

    async def node_unstage_volume(self, request: Any) -> Any:
        answer = await self.healthy.node_unstage_volume(request)
        if (volume := self.store.volumes.get(request.volume_id)) is not None:
            place = contents.data(self.store.volumes.place(volume))
            for path in sorted(place.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
        return answer


class FormattedEachTime(Mutant):
    """NodeStageVolume makes a file system whether there is one or not."""

    caught_by = "X1"
    also = ("X13",)
    form = "ext4"

    async def node_stage_volume(self, request: Any) -> Any:
        volume = self.store.volumes.get(request.volume_id)
        if volume is not None and volume.fs_type and not publication.is_staged(self.store.node.of(volume.id)):
            await contents.run("mkfs.ext4", "-q", "-F", str(contents.image(self.store.volumes.place(volume))))
        return await self.healthy.node_stage_volume(request)


class OwnersAreReset(Mutant):
    """NodePublishVolume gives everything to root, with mode 777."""

    caught_by = "X1"

    async def node_publish_volume(self, request: Any) -> Any:
        answer = await self.healthy.node_publish_volume(request)
        for path in Path(request.target_path).rglob("*") if not request.readonly else ():
            os.chown(path, 0, 0)
            path.chmod(0o777)
        return answer


class ReadonlyIgnored(Mutant):
    """`readonly` is not looked at."""

    caught_by = "X4"
    also = ("N14", "X4B")

    async def node_publish_volume(self, request: Any) -> Any:
        request.readonly = False
        return await self.healthy.node_publish_volume(request)


class ReadonlyDeviceIsWritten(Mutant):
    """`readonly` is kept for file systems, and not for block devices."""

    caught_by = "X4B"

    async def node_publish_volume(self, request: Any) -> Any:
        if request.volume_capability.HasField("block"):
            request.readonly = False
        return await self.healthy.node_publish_volume(request)


class ReaderMayWrite(Mutant):
    """SINGLE_NODE_READER_ONLY is accepted, and the volume is mounted to be written."""

    caught_by = "X5"

    async def create_volume(self, request: Any) -> Any:
        for each in request.volume_capabilities:
            _let_write(each)
        return await self.healthy.create_volume(request)

    async def node_stage_volume(self, request: Any) -> Any:
        _let_write(request.volume_capability)
        return await self.healthy.node_stage_volume(request)

    async def node_publish_volume(self, request: Any) -> Any:
        _let_write(request.volume_capability)
        return await self.healthy.node_publish_volume(request)


def _let_write(capability: Any) -> None:
    if capability.access_mode.mode == AccessMode.SINGLE_NODE_READER_ONLY:
        capability.access_mode.mode = AccessMode.SINGLE_NODE_WRITER


class FlagsIgnored(Mutant):
    """mount_flags are accepted, and not looked at."""

    caught_by = "X12"

    async def node_stage_volume(self, request: Any) -> Any:
        del request.volume_capability.mount.mount_flags[:]
        return await self.healthy.node_stage_volume(request)

    async def node_publish_volume(self, request: Any) -> Any:
        del request.volume_capability.mount.mount_flags[:]
        return await self.healthy.node_publish_volume(request)


class AnotherFileSystem(Mutant):
    """ext4 is asked for, and it is xfs."""

    caught_by = "X13"
    form = "ext4"

    async def create_volume(self, request: Any) -> Any:
        for each in request.volume_capabilities:
            _make_xfs(each)
        return await self.healthy.create_volume(request)

    async def node_stage_volume(self, request: Any) -> Any:
        _make_xfs(request.volume_capability)
        return await self.healthy.node_stage_volume(request)

    async def node_publish_volume(self, request: Any) -> Any:
        _make_xfs(request.volume_capability)
        return await self.healthy.node_publish_volume(request)


def _make_xfs(capability: Any) -> None:
    if capability.mount.fs_type == "ext4":
        capability.mount.fs_type = "xfs"


class ShortPaths(Mutant):
    """A target of more than 128 bytes is refused."""

    caught_by = "X19"

    async def node_publish_volume(self, request: Any) -> Any:
        if len(request.target_path) > 128:
            raise errors.InvalidArgument("the path is too long")
        return await self.healthy.node_publish_volume(request)


class BlockIsAFile(Mutant):
    """The target of a block volume is a plain file."""

    caught_by = "X3"
    also = ("X3B",)

    async def node_publish_volume(self, request: Any) -> Any:
        answer = await self.healthy.node_publish_volume(request)
        if request.volume_capability.HasField("block"):
            mounts.unmount_all(Path(request.target_path))
        return answer


class DeviceTooSmall(Mutant):
    """A block device is a block smaller than the volume is told to be."""

    caught_by = "X3"

    async def create_volume(self, request: Any) -> Any:
        answer = await self.healthy.create_volume(request)
        volume = self.store.volumes.known(answer.volume.volume_id)
        if volume.block:
            os.truncate(contents.image(self.store.volumes.place(volume)), volume.capacity_bytes - 4096)
        return answer


class DeviceIsMountedTwice(Mutant):
    """NodePublishVolume of a block device mounts again what is mounted."""

    caught_by = "X3B"

    async def node_publish_volume(self, request: Any) -> Any:
        path = Path(request.target_path)
        mounted = bool(request.target_path) and mounts.is_mount_point(path)
        answer = await self.healthy.node_publish_volume(request)
        if mounted and request.volume_capability.HasField("block"):
            mounts.bind_path(path, path)
        return answer


class FiguresOfAnything(Mutant):
    """NodeGetVolumeStats tells figures of whatever is at the path, or else of the root."""

    caught_by = "N22"

    async def node_get_volume_stats(self, request: Any) -> Any:
        try:
            return await self.healthy.node_get_volume_stats(request)
        except errors.NotFound:
            return _figures("/")


class FiguresOfTheHost(Mutant):
    """NodeGetVolumeStats tells the figures of the host's file system."""

    caught_by = "X8"
    form = "image"

    async def node_get_volume_stats(self, request: Any) -> Any:
        answer = await self.healthy.node_get_volume_stats(request)
        del answer.usage[:]
        answer.usage.extend(_figures("/").usage)
        return answer


class MoreUsedThanThere(Mutant):
    """More is used and available than there is in total."""

    caught_by = "X8"

    async def node_get_volume_stats(self, request: Any) -> Any:
        answer = await self.healthy.node_get_volume_stats(request)
        answer.usage[0].used = answer.usage[0].total
        return answer


class NoFiguresInBytes(Mutant):
    """NodeGetVolumeStats tells inodes alone."""

    caught_by = "X8"

    async def node_get_volume_stats(self, request: Any) -> Any:
        answer = await self.healthy.node_get_volume_stats(request)
        del answer.usage[0]
        return answer


class NoCondition(Mutant):
    """VOLUME_CONDITION is claimed, and there is none."""

    caught_by = "N24"

    async def node_get_volume_stats(self, request: Any) -> Any:
        answer = await self.healthy.node_get_volume_stats(request)
        answer.ClearField("volume_condition")
        return answer


class BornAbnormal(Mutant):
    """A new volume is abnormal."""

    caught_by = "N24"

    async def node_get_volume_stats(self, request: Any) -> Any:
        answer = await self.healthy.node_get_volume_stats(request)
        answer.volume_condition.abnormal = True
        return answer


def _figures(path: str) -> Any:
    found = os.statvfs(path)
    answer = csi.NodeGetVolumeStatsResponse()
    total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    answer.usage.add(unit=csi.VolumeUsage.BYTES, total=total, used=total - free, available=free)
    return answer


class AllAsTheFirst(Mutant):
    """A second target is mounted as the first one is, whatever `readonly` is."""

    caught_by = "X4C"

    async def node_publish_volume(self, request: Any) -> Any:
        live = publication.live_targets(self.store.node.of(request.volume_id))
        if live and request.target_path not in live:
            request.readonly = next(iter(live.values())).readonly
        return await self.healthy.node_publish_volume(request)


class SizeOfADeviceInMegabytes(Mutant):
    """NodeGetVolumeStats tells a device's size in megabytes."""

    caught_by = "X8B"

    async def node_get_volume_stats(self, request: Any) -> Any:
        answer = await self.healthy.node_get_volume_stats(request)
        for each in answer.usage if len(answer.usage) == 1 else ():
            each.total //= 10**6
        return answer


class FiguresAreOld(Mutant):
    """NodeGetVolumeStats tells for ever what it told first."""

    caught_by = "X9"
    form = "image"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.told: dict[str, Any] = {}

    async def node_get_volume_stats(self, request: Any) -> Any:
        if request.volume_path not in self.told:
            self.told[request.volume_path] = await self.healthy.node_get_volume_stats(request)
        return self.told[request.volume_path]
