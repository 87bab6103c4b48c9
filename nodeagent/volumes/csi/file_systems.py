"""Volumes that are file systems: staged at `globalmount`, published at `mount` beside what is needed to take them down again."""

from pathlib import Path

from nodeagent.api.events import Events
from nodeagent.volumes import fs_group
from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeRequest
from nodeagent.volumes.csi import places, requests, selinux, vol_data
from nodeagent.volumes.csi.failures import DriverError
from nodeagent.volumes.csi.layout import VOL_DATA, CSILayout
from nodeagent.volumes.csi.preparation import Preparation, Prepared
from nodeagent.volumes.csi.volume import PLUGIN
from nodeagent.volumes.layout import make_directories, plugin_directory_name
from nodeagent.volumes.on_disk import FoundVolume
from nodeagent.volumes.pod_folder import force_clean
from runtimes.linux.tasks import run_blocking


class FileSystems:
    def __init__(self, layout: CSILayout, preparation: Preparation, events: Events) -> None:
        self._layout = layout
        self._preparation = preparation
        self._events = events

    async def stage(self, prepared: Prepared) -> None:
        """Raises VolumeError."""
        volume, driver = prepared.volume, prepared.driver
        folder = self._layout.staged(volume.driver, volume.handle)
        target = self._layout.staged_mount(volume.driver, volume.handle)
        request = await requests.stage_request(self._preparation, prepared, target)
        live = await run_blocking(_begin, folder, target, self._preparation.data(prepared).staged(), make=True)
        try:
            await requests.ask(driver, driver.client.node.stage_volume, request)
        except DriverError as failure:
            if failure.refused and not live:
                await run_blocking(places.tidy, _forget, folder, target, driver.name)
            raise

    async def unstage(self, driver: str, handle: str) -> None:
        """Raises VolumeError."""
        folder, target = self._layout.staged(driver, handle), self._layout.staged_mount(driver, handle)
        if await run_blocking(places.is_there, folder / VOL_DATA):
            await requests.unstage(self._preparation, driver, handle, target)
            await run_blocking(_forget, folder, target, driver)

    async def publish(self, prepared: Prepared, request: VolumeRequest) -> MountedVolume:
        """Raises VolumeError."""
        volume, driver, uid = prepared.volume, prepared.driver, request.pod.uid
        folder, target = (
            self._layout.published(uid, volume.spec_name),
            self._layout.published_mount(uid, volume.spec_name),
        )
        staging = self._layout.staged_mount(volume.driver, volume.handle) if prepared.stages else None
        message = await requests.publish_request(self._preparation, prepared, target, staging)
        live = await run_blocking(_begin, folder, target, self._preparation.data(prepared).published(), make=False)
        try:
            await requests.ask(driver, driver.client.node.publish_volume, message)
        except DriverError as failure:
            if failure.refused and not live:
                await run_blocking(places.tidy, _forget, folder, target, driver.name)
            raise
        await run_blocking(places.expect, target, driver.name)
        if prepared.sets_group:
            await fs_group.hand_over(request, target, self._events)
        relabel = prepared.may_relabel and await run_blocking(selinux.relabels, target)
        return MountedVolume(
            host_path=target, directory_name=volume.spec_name, read_only_forced=volume.read_only, relabel=relabel
        )

    async def unpublish(self, uid: str, spec_name: str) -> None:
        """Raises VolumeError."""
        folder, target = self._layout.published(uid, spec_name), self._layout.published_mount(uid, spec_name)
        if not await run_blocking(places.is_there, folder):
            return
        found = await run_blocking(_understood, folder)
        if found is None:
            unknown = FoundVolume(plugin_directory_name(PLUGIN), spec_name)
            await run_blocking(force_clean, self._layout.pods, uid, unknown)
            return
        await requests.unpublish(self._preparation, found.driver, found.handle, target)
        await run_blocking(_forget, folder, target, found.driver)


def _begin(folder: Path, target: Path, content: dict[str, str], *, make: bool) -> bool:
    """Note what is about to be there. Returns whether there is something already. `make`: drivers want to find the target."""
    live = places.is_there(target)
    vol_data.write(folder, content)
    if make:
        make_directories(target)
    return live


def _forget(folder: Path, target: Path, driver: str) -> None:
    """Raises VolumeError."""
    places.clear(target, driver)
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
