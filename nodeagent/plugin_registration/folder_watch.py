"""Changes in a folder and in those below it, by inotify."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from asyncinotify import Inotify, Mask

_MASK = Mask.CREATE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.DELETE | Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.ONLYDIR


class FolderWatch:
    """`changed` is set by every change in the folders that are watched."""

    def __init__(self, inotify: Inotify) -> None:
        self.changed = asyncio.Event()
        self._inotify = inotify
        self._folders: frozenset[Path] = frozenset()

    def cover(self, folders: Iterable[Path]) -> bool:
        """Watch these, too. True: there is a new one, in which something may have changed before it was watched.

        A folder in the place of another is new to the kernel, whatever its name: all are added each time, which changes nothing
        for those that are.
        """
        before, self._folders = self._folders, frozenset(folders)
        for folder in self._folders:
            with contextlib.suppress(
                OSError
            ):  # gone by now, or no room for watches: it is looked at now and then all the same
                self._inotify.add_watch(folder, _MASK)
        return not self._folders <= before

    async def follow(self) -> None:
        async for _ in self._inotify:
            self.changed.set()


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[FolderWatch]:
    """A watch that covers nothing yet. Raises OSError where there are too many already."""
    with Inotify() as inotify:
        watch = FolderWatch(inotify)
        task = asyncio.create_task(watch.follow(), name="folder watch")
        try:
            yield watch
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
