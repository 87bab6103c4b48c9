"""The FlexVolume drivers of this node: directories `vendor~driver` in one folder (volumePluginDir), found as they come and go.

Looks again at every change that inotify reports, and, while a driver fails to start, every 20 s. A driver is started anew when
its program has changed. Names that begin with a dot are being written.
"""

import asyncio
import contextlib
import logging
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumePlugin, VolumeRequest, VolumeSource
from nodeagent.volumes.flex.driver import Driver, program_of
from nodeagent.volumes.flex.plugin import declared
from nodeagent.volumes.types.publish_only import PublishOnly
from runtimes.linux import folder_watch
from runtimes.linux.tasks import run_blocking

log = logging.getLogger(__name__)

RETRY_SECONDS = 20.0
Look = tuple[int, int, int, int]  # of a program: inode, size, time of its last change, mode


class FlexDrivers:
    """The volume types of all drivers that have started; a volume of any other waits until its driver is there."""

    def __init__(self, folder: Path, plugin_of: Callable[[Driver], VolumePlugin]) -> None:
        self._folder = folder
        self._plugin_of = plugin_of
        self._plugins: dict[str, VolumePlugin] = {}  # by directory
        self._looks: dict[str, Look] = {}
        self._failed: set[str] = set()
        self._absent = AbsentDriver(folder)

    def members(self) -> Sequence[VolumePlugin]:
        """The drivers', and last the one that has what is left."""
        return (*self._plugins.values(), self._absent)

    async def run(self) -> None:
        """Follow the folder, which need not be there yet."""
        while True:
            async with folder_watch.watched(
                folder_watch.CONTENTS, lambda event: event.path is not None and concerns(self._folder, event.path)
            ) as watch:
                # until nothing has come that was made between the look and the watch
                while watch.cover(await run_blocking(watched, self._folder)):
                    pass
                await self.scan()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_SECONDS if self._failed else None):
                        await watch.changed.wait()

    async def scan(self) -> None:
        """Start what is new, has changed or failed, all at once, and forget what is gone."""
        try:
            found = await run_blocking(look, self._folder)
        except OSError as error:
            log.error("the FlexVolume drivers in %s cannot be read: %s", self._folder, error.strerror or error)
            return
        for name in self._looks.keys() - found.keys():
            self._forget(name)
        due = [name for name, seen in found.items() if self._looks.get(name) != seen or name in self._failed]
        await asyncio.gather(*(self._start(name, found[name]) for name in due))

    async def _start(self, name: str, seen: Look) -> None:
        again = self._looks.get(name) == seen
        self._looks[name] = seen
        try:
            driver = await Driver.start(self._folder / name)
        except VolumeError as error:
            self._failed.add(name)
            self._plugins.pop(name, None)
            log.log(logging.DEBUG if again else logging.WARNING, "FlexVolume driver %s is not used: %s", name, error)
            return
        self._failed.discard(name)
        self._plugins[name] = self._plugin_of(driver)
        log.info("FlexVolume driver %s: %s", driver.name, driver.capabilities)

    def _forget(self, name: str) -> None:
        self._looks.pop(name, None)
        self._failed.discard(name)
        if self._plugins.pop(name, None) is not None:
            log.info("FlexVolume driver %s is gone", name)


class AbsentDriver(PublishOnly):
    """Has the volumes whose driver is not there."""

    name = "flexvolume"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def supports(self, source: VolumeSource) -> bool:
        return not source.block and declared(source) is not None

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        what = declared(request.source)
        assert what is not None
        raise VolumeError(f"no FlexVolume driver {what.driver} has started from {self._folder}")

    async def unpublish(self, uid: str, directory_name: str) -> None:
        return


def look(folder: Path) -> dict[str, Look]:
    """Every driver's directory with what its program is. A folder that is not there has none. Blocks. Raises OSError."""
    found: dict[str, Look] = {}
    for directory in _directories(folder):
        with contextlib.suppress(OSError):
            status = program_of(directory).stat()
            if stat.S_ISREG(status.st_mode):
                found[directory.name] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)
    return found


def watched(folder: Path) -> list[Path]:
    """The folder and its drivers' directories; what is not there is waited for in the nearest directory above. Blocks."""
    if folder.is_dir():
        with contextlib.suppress(OSError):
            return [folder, *_directories(folder)]
    return [next(above for above in folder.parents if above.is_dir())]


def concerns(folder: Path, where: Path) -> bool:
    """Whether a change there is one of the folder, a driver's directory or its program, or of what leads to the folder."""
    if where == folder or where in folder.parents:
        return True
    if where.name.startswith("."):
        return False
    return where.parent == folder or (where.parent.parent == folder and where == program_of(where.parent))


def _directories(folder: Path) -> list[Path]:
    """Raises OSError, but for a folder that is not there."""
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
