"""Watches: what there is, then every change, one JSON object a line."""

import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.rest.list_options import ListOptions
from nodeagent.apiserver.rest.rendering import Renderer
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.watch import Seen, Watcher

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
BOOKMARK_SECONDS = 60.0
LAST_BOOKMARK_SECONDS = 2.0
_DEFAULT_TIMEOUT_SECONDS = (1800.0, 3600.0)
_BATCH = 64
_BATCH_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that go out together: no more than about 64 kB of them, or one. `render` makes whole lines of them, when there is
    room for them; until then the objects are the store's."""

    count: int
    size: int
    render: Callable[[], bytes]


class Watch:
    """One watch request. Make it (it may be refused there), then iterate `batches()` once, then `close()`."""

    def __init__(self, store: Store, resource: Resource, options: ListOptions, renderer: Renderer) -> None:
        """Raises `ApiError` 410 and 504."""
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

    async def batches(self) -> AsyncIterator[Batch]:
        """What is to be sent, until time is up, the reader is too slow, or the server stops."""
        watcher = self._watcher
        timeout = self._options.timeout_seconds
        end = time.monotonic() + (timeout if timeout else random.uniform(*_DEFAULT_TIMEOUT_SECONDS))
        initial, self._initial = self._initial, ()
        for batch in self._split(initial):
            yield batch
        if self._options.initial_events and self._options.bookmarks:
            yield self._bookmark(self._since, {INITIAL_EVENTS_END: "true"})
        bookmark = self._next_bookmark(end)
        while not watcher.closed and time.monotonic() < end:
            await watcher.wait(min(bookmark, end) - time.monotonic())
            if taken := watcher.take():
                for batch in self._split(taken):
                    if watcher.lost:
                        return
                    yield batch
            elif time.monotonic() >= bookmark:
                # the queue is empty and nothing was awaited since: everything published has been sent
                yield self._bookmark(self._store.revision)
                bookmark = self._next_bookmark(end)
        for batch in self._split(watcher.take()):
            yield batch

    def _next_bookmark(self, end: float) -> float:
        if not self._options.bookmarks:
            return end + 1
        now = time.monotonic()
        last = end - LAST_BOOKMARK_SECONDS
        return min(now + BOOKMARK_SECONDS, last) if now < last - 0.5 else end + 1

    def _split(self, events: Sequence[Seen]) -> Iterator[Batch]:
        waiting = deque(events)
        while waiting:
            together = [waiting.popleft()]
            size = len(together[0].stored.data)
            while waiting and len(together) < _BATCH and size + len(waiting[0].stored.data) <= _BATCH_BYTES:
                size += len(waiting[0].stored.data)
                together.append(waiting.popleft())
            yield Batch(len(together), size, partial(self._lines, together))

    def _bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> Batch:
        line = self._renderer.bookmark(revision, annotations)
        return Batch(1, len(line), lambda: line)

    def _lines(self, events: Sequence[Seen]) -> bytes:
        return b"".join(self._line(seen) for seen in events)

    def _line(self, seen: Seen) -> bytes:
        return self._renderer.event(seen.type, seen.stored.data)

    def close(self) -> None:
        self._store.unwatch(self._resource.storage, self._watcher)
