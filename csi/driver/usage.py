"""The Node service, for volumes that are in use: statistics and growing."""

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

from csi import errors
from csi.driver import checks, contents, growth, publication
from csi.driver.locks import Locks
from csi.driver.records import Volume
from csi.driver.store import Store
from proto import csi_pb2 as csi
from runtimes.linux.tasks import run_blocking


class UsageService:
    """`locks`: those of the Node service."""

    def __init__(self, store: Store, locks: Locks) -> None:
        self._store = store
        self._locks = locks

    async def node_get_volume_stats(self, request: csi.NodeGetVolumeStatsRequest) -> csi.NodeGetVolumeStatsResponse:
        volume, path = self._published(request.volume_id, request.volume_path)
        return await run_blocking(self._stats, volume, path)

    def _stats(self, volume: Volume, path: Path) -> csi.NodeGetVolumeStatsResponse:
        condition = contents.condition(self._store.volumes.place(volume), volume.backing)
        answer = csi.NodeGetVolumeStatsResponse(volume_condition=condition)
        if volume.block:
            answer.usage.add(unit=csi.VolumeUsage.BYTES, total=_device_bytes(path))
            return answer
        found = os.statvfs(path)
        answer.usage.add(
            unit=csi.VolumeUsage.BYTES,
            total=found.f_blocks * found.f_frsize,
            used=(found.f_blocks - found.f_bfree) * found.f_frsize,
            available=found.f_bavail * found.f_frsize,
        )
        answer.usage.add(
            unit=csi.VolumeUsage.INODES,
            total=found.f_files,
            used=found.f_files - found.f_ffree,
            available=found.f_favail,
        )
        return answer

    async def node_expand_volume(self, request: csi.NodeExpandVolumeRequest) -> csi.NodeExpandVolumeResponse:
        wanted, limit = checks.size(request.capacity_range)
        volume, _ = self._published(request.volume_id, request.volume_path)
        async with self._locks.of(volume.id):
            volume = self._store.volumes.get(volume.id) or volume
            if wanted > volume.capacity_bytes:
                raise errors.OutOfRange("the volume is smaller than that: ControllerExpandVolume comes first")
            if 0 < limit < volume.capacity_bytes:
                raise errors.OutOfRange("the volume is larger than limit_bytes")
            if volume.backing == "image":
                await self._catch_up(volume)
        return csi.NodeExpandVolumeResponse(capacity_bytes=volume.capacity_bytes)

    async def _catch_up(self, volume: Volume) -> None:
        """Raises csi.errors; WrongState where it can only grow while it is not mounted."""
        devices = await growth.grow_devices(self._store.volumes.place(volume))
        if not volume.fs_behind or not devices:
            return
        if not growth.can_grow_mounted(volume.fs_type):
            raise errors.WrongState("a mounted ext4 cannot grow here (CAP_SYS_RESOURCE): stage the volume anew")
        await growth.grow_mounted(volume.fs_type, devices[0], Path(self._store.node.of(volume.id).staging_path))
        await run_blocking(self._store.volumes.update, replace(volume, fs_behind=False))

    def _published(self, volume_id: str, path: str) -> tuple[Volume, Path]:
        """Raises InvalidArgument, NotFound where the volume is not at that path, whatever that is."""
        checks.required(volume_id, "volume_id")
        where = str(PurePosixPath(checks.required(path, "volume_path")))
        volume, node_volume = self._store.volumes.known(volume_id), self._store.node.of(volume_id)
        staged = where == node_volume.staging_path and publication.is_staged(node_volume) and not volume.block
        if not staged and where not in publication.live_targets(node_volume):
            raise errors.NotFound(f"the volume is not at {errors.presentable(where)}")
        return volume, Path(where)


def _device_bytes(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)
