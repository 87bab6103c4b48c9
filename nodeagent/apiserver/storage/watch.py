"""One watcher: what it selected, and the changes that wait for its reader."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from nodeagent.apiserver.storage.stored import Change, ChangeType, Stored

MAX_QUEUED = 16384
MAX_QUEUED_BYTES = 32 << 20


class Selects(Protocol):
    """A question asked of every version of an object."""

    def matches(self, stored: Stored) -> bool: ...


class Seen(NamedTuple):
    """A change as one watcher sees it: an object that begins or ceases to match is ADDED or DELETED for it."""

    type: ChangeType
    stored: Stored


def seen_by(selects: Selects, change: Change, tombstone: Stored | None = None) -> Seen | None:
    """`change` through a selector; None when it says nothing to this watcher.

    `tombstone` is the old content under the new revision, needed when the object left the selection.
    """
    before = change.old is not None and selects.matches(change.old)
    if change.type == "DELETED":
        return Seen("DELETED", change.new) if before else None
    if selects.matches(change.new):
        return Seen("MODIFIED" if before else "ADDED", change.new)
    return Seen("DELETED", tombstone or change.new) if before else None


class Watcher:
    """Takes changes from the store and gives them to one reader, in order.

    A reader that lets more than `MAX_QUEUED` changes or `MAX_QUEUED_BYTES` pile up is cut off: `lost` is set and it
    has to start again from the last revision it saw.
    """

    __slots__ = ("_bytes", "_queue", "_wake", "closed", "lost", "selects")

    def __init__(self, selects: Selects) -> None:
        self.selects = selects
        self.closed = False
        self.lost = False
        self._queue: deque[Seen] = deque()
        self._bytes = 0
        self._wake: asyncio.Future[None] | None = None

    def push(self, seen: Seen) -> None:
        if self.closed:
            return
        self._queue.append(seen)
        self._bytes += len(seen.stored.data)
        if len(self._queue) > MAX_QUEUED or self._bytes > MAX_QUEUED_BYTES:
            self.lost = True
            self.close()
        self._notify()

    def close(self) -> None:
        """No more changes; the reader gets what it has been given so far and then nothing."""
        self.closed = True
        if self.lost:
            self._queue.clear()
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def take(self) -> Sequence[Seen]:
        """Everything that waits; empties the queue."""
        taken = tuple(self._queue)
        self._queue.clear()
        self._bytes = 0
        return taken

    async def wait(self, timeout_seconds: float | None) -> bool:
        """Until something waits or the watcher closes (True), or time is up (False). One reader only."""
        if self._queue or self.closed:
            return True
        loop = asyncio.get_running_loop()
        wake = self._wake = loop.create_future()
        timer = None
        if timeout_seconds is not None:
            timer = loop.call_later(max(timeout_seconds, 0.0), self._notify)
        try:
            await wake
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()
        return bool(self._queue) or self.closed
