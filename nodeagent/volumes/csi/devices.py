"""Volumes that are block devices: staged in a directory of the driver's, published as a device that the pod's link leads to.

Their metadata is one file for all pods, by the PersistentVolume's name.
"""

import contextlib
from pathlib import Path

from nodeagent.volumes import device_link
from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeRequest
from nodeagent.volumes.csi import places, requests, vol_data
from nodeagent.volumes.csi.failures import DriverError
from nodeagent.volumes.csi.layout import CSILayout
from nodeagent.volumes.csi.preparation import Preparation, Prepared
from nodeagent.volumes.layout import make_directories
from runtimes.linux.tasks import run_blocking


class Devices:
    def __init__(self, layout: CSILayout, preparation: Preparation) -> None:
        self._layout = layout
        self._preparation = preparation

    async def stage(self, prepared: Prepared) -> None:
        """Raises VolumeError."""
        name, driver = prepared.volume.spec_name, prepared.driver
        target = self._layout.staged_device(name)
        request = await requests.stage_request(self._preparation, prepared, target)
        data = self._layout.device_data(name)
        live = await run_blocking(_begin, data, target, target, self._preparation.data(prepared).published())
        try:
            await requests.ask(driver, driver.client.node.stage_volume, request)
        except DriverError as failure:
            if failure.refused and not live:
                await run_blocking(places.tidy, self._forget_staged, name, driver.name)
            raise

    async def unstage(self, driver: str, handle: str) -> None:
        """Raises VolumeError."""
        for name in await run_blocking(self._spec_names, driver, handle):
            await requests.unstage(self._preparation, driver, handle, self._layout.staged_device(name))
            await run_blocking(self._forget_staged, name, driver)

    async def publish(self, prepared: Prepared, request: VolumeRequest) -> MountedVolume:
        """Raises VolumeError."""
        volume, driver, uid = prepared.volume, prepared.driver, request.pod.uid
        target = self._layout.published_device(volume.spec_name, uid)
        # as other agents do it, for drivers that stage nothing, too: they pass it over
        staging = self._layout.staged_device(volume.spec_name)
        message = await requests.publish_request(self._preparation, prepared, target, staging)
        data = self._layout.device_data(volume.spec_name)
        live = await run_blocking(_begin, data, target, target.parent, self._preparation.data(prepared).published())
        try:
            await requests.ask(driver, driver.client.node.publish_volume, message)
        except DriverError as failure:
            if failure.refused and not live:
                await run_blocking(places.tidy, _forget_published, target, driver.name)
            raise
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
        if not await run_blocking(lambda: link.is_symlink() or places.is_there(target)):
            return
        found = await run_blocking(vol_data.read, self._layout.device_data(spec_name))
        if found is not None:
            await requests.unpublish(self._preparation, found.driver, found.handle, target)
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


def _begin(data: Path, target: Path, folder: Path, content: dict[str, str]) -> bool:
    """Note what is about to be there, and make the folder that drivers want to find. Whether there is something already."""
    live = places.is_there(target)
    vol_data.write(data, content)
    make_directories(folder)
    return live


def _link(link: Path, target: Path, driver: str) -> None:
    places.expect(target, driver)
    device_link.make(link, target)


def _forget_published(target: Path, driver: str) -> None:
    """The device, and the directory of all pods' if it was the last. Raises VolumeError."""
    places.clear(target, driver)
    with contextlib.suppress(OSError):  # of other pods
        target.parent.rmdir()
