"""Changes in folders, by inotify."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Final

from asyncinotify import Event, Inotify, Mask

# what comes and goes in a folder; with what its files hold, and how they may be used
ENTRIES: Final = (
    Mask.CREATE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.DELETE | Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.ONLYDIR
)
CONTENTS: Final = ENTRIES | Mask.CLOSE_WRITE | Mask.ATTRIB


class FolderWatch:
    """`changed` is set by every change in the folders that are watched."""

    def __init__(self, inotify: Inotify, mask: Mask) -> None:
        self.changed = asyncio.Event()
        self._inotify = inotify
        self._mask = mask
        self._folders: frozenset[Path] = frozenset()

    def cover(self, folders: Iterable[Path]) -> bool:
        """Watch these, too. True: there is a new one, in which something may have changed before it was watched.

        A folder in the place of another is new to the kernel, whatever its name: all are added each time, which changes nothing
        for those that are. One that is gone by now, or for which there is no room, is not watched.
        """
        before, self._folders = self._folders, frozenset(folders)
        for folder in self._folders:
            with contextlib.suppress(OSError):
                self._inotify.add_watch(folder, self._mask)
        return not self._folders <= before

    async def follow(self, concerns: Callable[[Event], bool]) -> None:
        async for event in self._inotify:
            if concerns(event):
                self.changed.set()


@contextlib.asynccontextmanager
async def watched(
    mask: Mask = ENTRIES, concerns: Callable[[Event], bool] = lambda event: True
) -> AsyncIterator[FolderWatch]:
    """A watch that covers nothing yet. `concerns`: whether a change counts. Raises OSError where there are too many already."""
    with Inotify() as inotify:
        watch = FolderWatch(inotify, mask)
        task = asyncio.create_task(watch.follow(concerns), name="folder watch")
        try:
            yield watch
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
