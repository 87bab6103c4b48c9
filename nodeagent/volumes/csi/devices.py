"""Volumes that are block devices: staged in a directory of the driver's, published as a device that the pod's link leads to.

Their metadata is one file for all pods, by the PersistentVolume's name.
"""

import contextlib
from pathlib import Path

from csi.errors import CSIError
from csi.values import NodeCapability
from nodeagent.volumes import device_link
from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeRequest
from nodeagent.volumes.csi import places, preparation, vol_data
from nodeagent.volumes.csi.failures import DriverError
from nodeagent.volumes.csi.layout import CSILayout
from nodeagent.volumes.csi.preparation import Preparation, Prepared
from nodeagent.volumes.layout import make_directories
from proto import csi_pb2 as csi
from runtimes.linux.tasks import run_blocking


class Devices:
    def __init__(self, layout: CSILayout, preparation: Preparation) -> None:
        self._layout = layout
        self._preparation = preparation

    async def stage(self, prepared: Prepared) -> None:
        """Raises VolumeError."""
        volume, driver = prepared.volume, prepared.driver
        context = await self._preparation.publish_context(prepared)
        secrets = await self._preparation.credentials.secret(volume.stage_secret, "NodeStageSecretRef")
        target, data = self._layout.staged_device(volume.spec_name), self._layout.device_data(volume.spec_name)
        live = await run_blocking(places.is_there, target)
        await run_blocking(vol_data.write, data, self._preparation.data(prepared).published())
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
                await run_blocking(self._forget_staged, volume.spec_name, driver.name)
            raise failure from error

    async def unstage(self, name: str, handle: str) -> None:
        """Raises VolumeError."""
        for spec_name in await run_blocking(self._spec_names, name, handle):
            driver, can = await self._preparation.reach(name, preparation.TAKE_DOWN)
            if NodeCapability.STAGE_UNSTAGE_VOLUME in can:
                target = self._layout.staged_device(spec_name)
                request = csi.NodeUnstageVolumeRequest(volume_id=handle, staging_target_path=str(target))
                try:
                    await driver.client.node.unstage_volume(request)
                except CSIError as error:
                    raise DriverError(name, error) from error
            await run_blocking(self._forget_staged, spec_name, name)

    async def publish(self, prepared: Prepared, request: VolumeRequest) -> MountedVolume:
        """Raises VolumeError."""
        volume, driver, uid = prepared.volume, prepared.driver, request.pod.uid
        target = self._layout.published_device(volume.spec_name, uid)
        attachment = await self._preparation.publish_context(prepared)
        context, secrets = await self._preparation.publish_parts(prepared)
        live = await run_blocking(places.is_there, target)
        await run_blocking(
            vol_data.write, self._layout.device_data(volume.spec_name), self._preparation.data(prepared).published()
        )
        await run_blocking(make_directories, target.parent)
        message = csi.NodePublishVolumeRequest(
            volume_id=volume.handle,
            publish_context=attachment,
            # always, as other agents do: drivers that stage nothing pass it over
            staging_target_path=str(self._layout.staged_device(volume.spec_name)),
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
                await run_blocking(_forget_published, target, driver.name)
            raise failure from error
        link = self._layout.device_link(uid, volume.spec_name)
        await run_blocking(_link, link, target, driver.name)
        return MountedVolume(
            host_path=link,
            directory_name=volume.spec_name,
            read_only_forced=volume.read_only,
            block=True,
            global_map_path=self._layout.device_map(volume.spec_name),
        )

    async def unpublish(self, uid: str, spec_name: str) -> None:
        """Raises VolumeError."""
        link, target = self._layout.device_link(uid, spec_name), self._layout.published_device(spec_name, uid)
        there = await run_blocking(lambda: link.is_symlink() or places.is_there(target))
        if not there:
            return
        found = await run_blocking(vol_data.read, self._layout.device_data(spec_name))
        if found is not None:
            driver, _ = await self._preparation.reach(found.driver, preparation.TAKE_DOWN)
            request = csi.NodeUnpublishVolumeRequest(volume_id=found.handle, target_path=str(target))
            try:
                await driver.client.node.unpublish_volume(request)
            except CSIError as error:
                raise DriverError(driver.name, error) from error
        await run_blocking(_forget_published, target, found.driver if found is not None else "that nobody knows")
        await run_blocking(device_link.remove, link)

    def _spec_names(self, driver: str, handle: str) -> list[str]:
        """Of the PersistentVolumes of that volume whose metadata is here: one."""
        names = []
        for folder in self._layout.devices.glob("*/data"):
            with contextlib.suppress(VolumeError):
                found = vol_data.read(folder)
                if found is not None and (found.driver, found.handle) == (driver, handle):
                    names.append(folder.parent.name)
        return names

    def _forget_staged(self, spec_name: str, driver: str) -> None:
        """Raises VolumeError."""
        places.clear(self._layout.staged_device(spec_name), driver)
        data = self._layout.device_data(spec_name)
        try:
            vol_data.remove(data)
            vol_data.remove_folder(data.parent)
        except OSError as error:
            raise VolumeError(f"{data}: {error.strerror}") from error


def _forget_published(target: Path, driver: str) -> None:
    """The device, and the directory of all pods' if it was the last. Raises VolumeError."""
    places.clear(target, driver)
    with contextlib.suppress(OSError):  # of other pods
        target.parent.rmdir()


def _link(link: Path, target: Path, driver: str) -> None:
    """Raises VolumeError."""
    if not places.is_there(target):
        raise VolumeError(f"driver {driver} says that the volume is published, and {target} does not exist")
    device_link.make(link, target)
