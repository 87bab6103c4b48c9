"""Volumes that are file systems: staged at `globalmount`, published at `mount` beside what is needed to take them down again."""

from pathlib import Path

from csi.errors import CSIError
from csi.values import NodeCapability
from nodeagent.volumes import ownership
from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeRequest
from nodeagent.volumes.csi import places, preparation, selinux, vol_data
from nodeagent.volumes.csi.drivers import Driver
from nodeagent.volumes.csi.failures import DriverError
from nodeagent.volumes.csi.layout import VOL_DATA, CSILayout
from nodeagent.volumes.csi.preparation import Preparation, Prepared
from nodeagent.volumes.csi.volume import PLUGIN
from nodeagent.volumes.layout import make_directories, plugin_directory_name
from nodeagent.volumes.on_disk import FoundVolume
from nodeagent.volumes.pod_folder import force_clean
from proto import csi_pb2 as csi
from runtimes.linux.tasks import run_blocking


class FileSystems:
    def __init__(self, layout: CSILayout, preparation: Preparation) -> None:
        self._layout = layout
        self._preparation = preparation

    async def stage(self, prepared: Prepared) -> None:
        """Raises VolumeError."""
        volume, driver = prepared.volume, prepared.driver
        context = await self._preparation.publish_context(prepared)
        secrets = await self._preparation.credentials.secret(volume.stage_secret, "NodeStageSecretRef")
        folder, target = (
            self._layout.staged(volume.driver, volume.handle),
            self._layout.staged_mount(volume.driver, volume.handle),
        )
        live = await run_blocking(places.is_there, target)
        await run_blocking(vol_data.write, folder, self._preparation.data(prepared).staged())
        await run_blocking(make_directories, target)
        request = csi.NodeStageVolumeRequest(
            volume_id=volume.handle,
            publish_context=context,
            staging_target_path=str(target),
            volume_capability=prepared.capability,
            secrets=secrets,
            volume_context=dict(volume.attributes),
        )
        try:
            await driver.client.node.stage_volume(request)
        except CSIError as error:
            failure = DriverError(driver.name, error)
            if failure.certain and not live:
                await run_blocking(_forget, folder, target, driver)
            raise failure from error

    async def unstage(self, name: str, handle: str) -> None:
        """Raises VolumeError."""
        folder, target = self._layout.staged(name, handle), self._layout.staged_mount(name, handle)
        if not await run_blocking(places.is_there, folder / VOL_DATA):
            return
        driver, can = await self._preparation.reach(name, preparation.TAKE_DOWN)
        if NodeCapability.STAGE_UNSTAGE_VOLUME in can:
            request = csi.NodeUnstageVolumeRequest(volume_id=handle, staging_target_path=str(target))
            try:
                await driver.client.node.unstage_volume(request)
            except CSIError as error:
                raise DriverError(name, error) from error
        await run_blocking(_forget, folder, target, driver)

    async def publish(self, prepared: Prepared, request: VolumeRequest) -> MountedVolume:
        """Raises VolumeError."""
        volume, driver = prepared.volume, prepared.driver
        folder = self._layout.published(request.pod.uid, volume.spec_name)
        target = self._layout.published_mount(request.pod.uid, volume.spec_name)
        staging = self._layout.staged_mount(volume.driver, volume.handle) if prepared.stages else None
        attachment = await self._preparation.publish_context(prepared)
        context, secrets = await self._preparation.publish_parts(prepared)
        live = await run_blocking(places.is_there, target)
        await run_blocking(vol_data.write, folder, self._preparation.data(prepared).published())
        message = csi.NodePublishVolumeRequest(
            volume_id=volume.handle,
            publish_context=attachment,
            staging_target_path=str(staging or ""),
            target_path=str(target),
            volume_capability=prepared.capability,
            readonly=volume.read_only,
            secrets=secrets,
            volume_context=context,
        )
        try:
            await driver.client.node.publish_volume(message)
        except CSIError as error:
            failure = DriverError(driver.name, error)
            if failure.certain and not live:
                await run_blocking(_forget, folder, target, driver)
            raise failure from error
        return await run_blocking(_hand_over, prepared, target, request.on_root_mismatch)

    async def unpublish(self, uid: str, spec_name: str) -> None:
        """Raises VolumeError."""
        folder, target = self._layout.published(uid, spec_name), self._layout.published_mount(uid, spec_name)
        if not await run_blocking(places.is_there, folder):
            return
        found = await run_blocking(_understood, folder)
        if found is None:
            await run_blocking(
                force_clean, self._layout.pods, uid, FoundVolume(plugin_directory_name(PLUGIN), spec_name)
            )
            return
        driver, _ = await self._preparation.reach(found.driver, preparation.TAKE_DOWN)
        request = csi.NodeUnpublishVolumeRequest(volume_id=found.handle, target_path=str(target))
        try:
            await driver.client.node.unpublish_volume(request)
        except CSIError as error:
            raise DriverError(driver.name, error) from error
        await run_blocking(_forget, folder, target, driver)


def _forget(folder: Path, target: Path, driver: Driver) -> None:
    """Raises VolumeError."""
    places.clear(target, driver.name)
    try:
        vol_data.remove(folder)
    except OSError as error:
        raise VolumeError(f"{folder}: {error.strerror}") from error


def _understood(folder: Path) -> vol_data.VolData | None:
    """None: nobody knows any more what it was. The note is dropped then, so that it does not keep the pod's folder for ever."""
    try:
        return vol_data.read(folder)
    except VolumeError:
        (folder / VOL_DATA).unlink(missing_ok=True)
        return None


def _hand_over(prepared: Prepared, target: Path, on_root_mismatch: bool) -> MountedVolume:
    volume = prepared.volume
    if not places.is_there(target):
        raise VolumeError(f"driver {volume.driver} says that the volume is published, and {target} does not exist")
    if prepared.sets_group:
        assert prepared.fs_group is not None
        try:
            ownership.set_group(target, prepared.fs_group, only_on_root_mismatch=on_root_mismatch)
        except OSError as error:
            raise VolumeError(f"applyFSGroup failed for vol {volume.handle}: {error}") from error
    return MountedVolume(
        host_path=target,
        directory_name=volume.spec_name,
        read_only_forced=volume.read_only,
        relabel=not volume.read_only and not prepared.label and selinux.relabels(target),
    )
