"""Ends of containers, seen by one inotify watch on the folder in which conmon leaves exit files."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from asyncinotify import Inotify, Mask

log = logging.getLogger(__name__)

UNKNOWN_EXIT_CODE = 255


class ExitWatch:
    """Calls `on_exit(container id)` on the event loop for every exit file that appears after `start`."""

    def __init__(self, directory: Path, on_exit: Callable[[str], None]) -> None:
        self._directory = directory
        self._on_exit = on_exit
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin watching. Files that are there already are the caller's to look at, after this call."""
        inotify = Inotify(cache_size=64)
        # conmon renames the finished file into place
        inotify.add_watch(self._directory, Mask.MOVED_TO | Mask.CLOSE_WRITE)
        self._task = asyncio.get_running_loop().create_task(self._watch(inotify), name="oci-exits")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self, inotify: Inotify) -> None:
        with inotify:
            async for event in inotify:
                if event.mask & Mask.Q_OVERFLOW:
                    names = [entry.name for entry in self._directory.iterdir()]
                else:
                    names = [event.name.name] if event.name is not None else []
                for name in names:
                    try:
                        self._on_exit(name)
                    except Exception:
                        # one container's trouble must not blind the engine to the ends of all others
                        log.exception("the exit of container %s could not be handled", name)


def read_exit(path: Path) -> tuple[int, int] | None:
    """(exit code, time of the exit in ns since the epoch) from an exit file; None when there is none."""
    try:
        with path.open(errors="replace") as file:
            text = file.read(64).strip()
            finished_at_ns = path.stat().st_mtime_ns
    except OSError:
        return None
    try:
        code = int(text)
    except ValueError:
        return None  # being written
    return (code if code >= 0 else UNKNOWN_EXIT_CODE), finished_at_ns
