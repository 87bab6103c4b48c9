"""The volume type `kubernetes.io/csi`: volumes of PersistentVolumes and of pods' own specs, by the drivers of this node.

Source: docs/facts/storage.md 3, 4.9, 8, 9, 10.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from csi import errors
from csi.errors import CSIError, presentable
from csi.values import NodeCapability, Usage, VolumeStats
from nodeagent.api.events import Events
from nodeagent.volumes.contract import (
    CannotGrowInUse,
    Capabilities,
    MountedVolume,
    NodeFull,
    SizeInfeasible,
    VolumeError,
    VolumeRequest,
    VolumeSource,
    VolumeUsage,
)
from nodeagent.volumes.csi import preparation, vol_data
from nodeagent.volumes.csi.attachments import EXHAUSTED, NotAttached
from nodeagent.volumes.csi.devices import Devices
from nodeagent.volumes.csi.failures import DriverError
from nodeagent.volumes.csi.file_systems import FileSystems
from nodeagent.volumes.csi.layout import CSILayout
from nodeagent.volumes.csi.preparation import Preparation
from nodeagent.volumes.csi.requests import ask, text
from nodeagent.volumes.csi.volume import PLUGIN, CSIVolume, names_driver, parted, persistent, volume_of
from proto import csi_pb2 as csi
from runtimes.linux.tasks import run_blocking


class CSIPlugin:
    """`recount(driver)`: have it found out, and told, how many volumes the driver can have here."""

    name = PLUGIN

    def __init__(
        self,
        layout: CSILayout,
        preparation: Preparation,
        events: Events,
        recount: Callable[[str], Awaitable[None]],
    ) -> None:
        self._layout = layout
        self._preparation = preparation
        self._recount = recount
        self._file_systems = FileSystems(layout, preparation, events)
        self._devices = Devices(layout, preparation)
        # by this process: what another has staged is staged once more, as it may have been half done
        self._staged: set[str] = set()

    def supports(self, source: VolumeSource) -> bool:
        return names_driver(source)

    def capabilities(self, source: VolumeSource) -> Capabilities:
        spec = self._preparation.specs.known(_described(source).driver)
        lasting = persistent(source) is not None
        return Capabilities(
            republish=spec.republish,
            attach=lasting and spec.attach,
            stage=lasting,
            expand=lasting,
        )

    def volume_id(self, source: VolumeSource) -> str:
        return _described(source).id

    async def attach(self, request: VolumeRequest) -> None:
        volume = _described(request.source)
        spec = await self._preparation.specs.get(volume.driver)
        if not spec.attach:
            return
        try:
            await self._preparation.attachments.wait(volume)
        except NotAttached as error:
            if error.code != EXHAUSTED or spec.recount_seconds is None:
                raise
            await self._recount(volume.driver)  # so that no further pods are sent here
            raise NodeFull(str(error)) from error

    async def stage(self, request: VolumeRequest) -> None:
        volume_id = self.volume_id(request.source)
        if volume_id in self._staged:
            return
        prepared = await self._preparation.of(request, preparation.STAGE)
        if prepared.stages:
            await (self._devices if prepared.volume.block else self._file_systems).stage(prepared)
            self._staged.add(volume_id)

    async def unstage(self, volume_id: str) -> None:
        try:
            driver, handle = parted(volume_id)
        except ValueError as error:
            raise VolumeError(str(error)) from error
        self._staged.discard(volume_id)
        await self._file_systems.unstage(driver, handle)
        await self._devices.unstage(driver, handle)

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        prepared = await self._preparation.of(request, preparation.SET_UP)
        return await (self._devices if prepared.volume.block else self._file_systems).publish(prepared, request)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        self._preparation.credentials.forget(uid)
        await self._file_systems.unpublish(uid, directory_name)
        await self._devices.unpublish(uid, directory_name)

    async def expand(self, request: VolumeRequest) -> None:
        prepared = await self._preparation.of(request, preparation.SET_UP)
        volume, driver = prepared.volume, prepared.driver
        if NodeCapability.EXPAND_VOLUME not in prepared.can:
            raise VolumeError(f"NodeExpand is not supported by the CSI driver {driver.name}")
        secrets = await self._preparation.credentials.secret(volume.expand_secret, "NodeExpandSecretRef")
        uid, name = request.pod.uid, volume.spec_name
        path, staging = self._layout.published_mount(uid, name), self._layout.staged_mount(volume.driver, volume.handle)
        if volume.block:
            path, staging = self._layout.published_device(name, uid), self._layout.staged_device(name)
        message = csi.NodeExpandVolumeRequest(
            volume_id=volume.handle,
            volume_path=text(path),
            capacity_range=csi.CapacityRange(required_bytes=request.source.expand_to_bytes or 0),
            staging_target_path=text(staging) if prepared.stages else "",
            volume_capability=prepared.capability,
            secrets=secrets,
        )
        try:
            await driver.client.node.expand_volume(message)
        except (errors.InvalidArgument, errors.OutOfRange, errors.NotFound) as error:
            raise SizeInfeasible(str(DriverError(driver.name, error))) from error
        except errors.WrongState as error:
            raise CannotGrowInUse(str(DriverError(driver.name, error))) from error
        except CSIError as error:
            raise DriverError(driver.name, error) from error

    async def usage(self, volume: MountedVolume) -> VolumeUsage | None:
        path, folder = volume.host_path, volume.host_path.parent
        if volume.block:
            folder = self._layout.device_data(volume.directory_name)
            path = await run_blocking(path.readlink)
        found = await run_blocking(vol_data.read, folder)
        if found is None:
            return None
        reached = await self._preparation.reach(found.driver, "metrics failed to get CSI client")
        if NodeCapability.GET_VOLUME_STATS not in reached.can:
            return None
        request = csi.NodeGetVolumeStatsRequest(volume_id=found.handle, volume_path=text(path))
        stats = VolumeStats.of(await ask(reached.driver, reached.driver.client.node.get_volume_stats, request))
        if stats.usage_bytes is None:
            raise VolumeError(f"driver {found.driver} tells no usage of volume {found.handle}")
        usage = _usage(stats.usage_bytes, stats.usage_inodes, block=volume.block)
        if stats.condition is None or NodeCapability.VOLUME_CONDITION not in reached.can:
            return usage
        return replace(usage, abnormal=stats.condition.abnormal, condition=presentable(stats.condition.message))


def _described(source: VolumeSource) -> CSIVolume:
    """For what does not depend on the pod."""
    return volume_of(source, "", "")


def _usage(of_bytes: Usage, inodes: Usage | None, *, block: bool) -> VolumeUsage:
    if block:
        return VolumeUsage(capacity_bytes=of_bytes.total)
    return VolumeUsage(
        capacity_bytes=of_bytes.total,
        available_bytes=of_bytes.available,
        used_bytes=of_bytes.used,
        inodes=inodes.total if inodes is not None else 0,
        inodes_free=inodes.available if inodes is not None else 0,
        inodes_used=inodes.used if inodes is not None else 0,
    )
