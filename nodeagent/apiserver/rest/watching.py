"""Watches: what there is, then every change, one JSON object a line."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.rest.list_options import ListOptions
from nodeagent.apiserver.rest.rendering import Renderer
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.watch import Seen, Watcher

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
BOOKMARK_SECONDS: Final = 60.0
LAST_BOOKMARK_SECONDS: Final = 2.0
_DEFAULT_TIMEOUT_SECONDS: Final = (1800.0, 3600.0)
_BATCH: Final = 64


class Watch:
    """One watch request. Make it (it may be refused there), then iterate ``lines()`` once, then ``close()``."""

    def __init__(self, store: Store, resource: Resource, options: ListOptions, renderer: Renderer) -> None:
        """Raises ``ApiError`` 410 and 504."""
        self._store = store
        self._resource = resource
        self._options = options
        self._renderer = renderer
        self._initial: Sequence[Seen] = ()
        since = options.revision or 0
        if options.initial_events or not since:
            if since > store.revision:
                store.check_revision(since)
            since = store.revision
            selection = options.selection
            existing = store.list(resource.storage, selection, selection.namespace)
            self._initial = [Seen("ADDED", stored) for stored in existing]
        self._since = since
        self._watcher: Watcher = store.watch(resource.storage, options.selection, since)

    async def lines(self) -> AsyncIterator[bytes]:
        """Chunks of whole lines, until time is up, the reader is too slow, or the server stops."""
        watcher = self._watcher
        timeout = self._options.timeout_seconds
        end = time.monotonic() + (timeout if timeout else random.uniform(*_DEFAULT_TIMEOUT_SECONDS))
        for first in range(0, len(self._initial), _BATCH):
            yield b"".join(self._line(seen) for seen in self._initial[first : first + _BATCH])
        self._initial = ()
        if self._options.initial_events and self._options.bookmarks:
            yield self._renderer.bookmark(self._since, {INITIAL_EVENTS_END: "true"})
        bookmark = self._next_bookmark(end)
        while not watcher.closed and time.monotonic() < end:
            await watcher.wait(min(bookmark, end) - time.monotonic())
            if batch := watcher.take():
                yield b"".join(self._line(seen) for seen in batch)
            elif time.monotonic() >= bookmark:
                # the queue is empty and nothing was awaited since: everything published has been told
                yield self._renderer.bookmark(self._store.revision)
                bookmark = self._next_bookmark(end)
        if batch := watcher.take():
            yield b"".join(self._line(seen) for seen in batch)

    def _next_bookmark(self, end: float) -> float:
        if not self._options.bookmarks:
            return end + 1
        now = time.monotonic()
        last = end - LAST_BOOKMARK_SECONDS
        return min(now + BOOKMARK_SECONDS, last) if now < last - 0.5 else end + 1

    def _line(self, seen: Seen) -> bytes:
        return self._renderer.event(seen.type, seen.stored.data)

    def close(self) -> None:
        self._store.unwatch(self._resource.storage, self._watcher)
