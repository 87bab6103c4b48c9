"""All plugins of the node: follows the sockets in one folder, and those below it. Each has a task of its own (`place`), so that
one that hangs holds up nobody."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from nodeagent.plugin_registration.contract import PluginHandler
from nodeagent.plugin_registration.place import RETRY, Connect, Place, handshake
from nodeagent.plugin_registration.sockets import Found, Identity, find
from runtimes.linux.folder_watch import watched
from runtimes.linux.retry import RetryPolicy
from runtimes.linux.tasks import end_tasks, run_blocking

log = logging.getLogger(__name__)

FOLDER = "plugins_registry"  # of the agent's root directory
RESCAN_SECONDS = 20.0  # for what inotify does not see
_FOLDER_MODE = 0o750


class PluginRegistry:
    """`run` once. `handlers`: by type of plugin. The folder is made where it is missing, also while it runs.

    `tell(socket, text)`: why the plugin behind it is not registered; empty: it is, or is gone.
    """

    def __init__(
        self,
        folder: Path,
        handlers: Mapping[str, PluginHandler],
        tell: Callable[[str, str], None],
        *,
        connect: Connect = handshake,
        retry: RetryPolicy = RETRY,
        rescan_seconds: float = RESCAN_SECONDS,
    ) -> None:
        self._folder = folder
        self._handlers = handlers
        self._tell = tell
        self._connect = connect
        self._retry = retry
        self._rescan_seconds = rescan_seconds
        self._places: dict[Path, tuple[Place, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Until cancelled. Raises OSError where the folder cannot be had."""
        try:
            async with watched() as watch:
                while True:
                    watch.changed.clear()
                    found = await run_blocking(self._look)
                    if watch.cover(found.folders):
                        continue
                    self._reconcile(found.sockets)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._rescan_seconds):
                            await watch.changed.wait()
        finally:
            places, self._places = self._places, {}
            await end_tasks(*(task for _, task in places.values()))
            for place, _ in places.values():
                place.close()

    def _look(self) -> Found:
        try:
            return find(self._folder)
        except FileNotFoundError:
            self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            return find(self._folder)

    def _reconcile(self, sockets: Mapping[Path, Identity]) -> None:
        for path, (place, _) in self._places.items():
            place.see(sockets.get(path))
        for path, identity in sockets.items():
            if path not in self._places:
                self._begin(path, identity)

    def _begin(self, path: Path, identity: Identity) -> None:
        socket = str(path.relative_to(self._folder))
        tell = functools.partial(self._tell, socket)
        place = Place(path, self._handlers, self._freed, tell, self._connect, self._retry)
        place.see(identity)
        if place.identity is None:
            return
        task = asyncio.create_task(place.run(), name=f"plugins at {path}")
        self._places[path] = (place, task)
        task.add_done_callback(lambda done: self._ended(path, place, done))

    def _ended(self, path: Path, place: Place, task: "asyncio.Task[None]") -> None:
        identity = place.identity  # one that has come since it ended
        place.close()
        if self._places.pop(path, None) is None or task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("plugin at %s", path, exc_info=error)
        if identity is not None:
            self._begin(path, identity)

    def _freed(self) -> None:
        for place, _ in self._places.values():
            place.try_again()
