"""A local copy of a set of API objects, kept up to date by list and watch.

Outages only make it old, never wrong: it resumes the watch where it stopped, and lists again when the server has forgotten
that place, reporting what vanished meanwhile as DELETED. Source: client-go's reflector (facts: api-client B.2, B.3).
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from nodeagent.api import errors
from nodeagent.api.backoff import Backoff, RetryPolicy
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError, Fault, Unavailable
from nodeagent.api.resources import key_of, metadata_of
from nodeagent.api.wire import EventType, WatchEvent

log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)
Key = tuple[str, str]
Callback = Callable[[EventType, T | None, T | None], None]

BACKOFF = RetryPolicy(first_seconds=0.8, factor=2.0, cap_seconds=30.0, jitter=1.0)
BACKOFF_RESET_SECONDS = 120.0
SHORT_WATCH_SECONDS = 1.0
BOOKMARK_WARNING_SECONDS = 10.0
BOOKMARK_DEADLINE_SECONDS = 30.0
WATCH_SECONDS = (300, 600)


class Informer(Generic[T]):
    """Mirrors the objects of `kind` that match, from `run()` on. Read it and subscribe from the same event loop.

    `watch_list`: first try to get the initial state as a stream (WatchList). `first_version`: what the first plain list
    asks for: "0" whatever the server has at hand, "" the newest. Objects handed out are shared: do not change them.
    """

    def __init__(
        self,
        client: ApiClient,
        kind: type[T],
        *,
        namespace: str | None = None,
        field_selector: str = "",
        label_selector: str = "",
        watch_seconds: tuple[int, int] = WATCH_SECONDS,
        watch_list: bool = True,
        first_version: str = "0",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._kind = kind
        self._namespace = namespace
        self._field_selector = field_selector
        self._label_selector = label_selector
        self._watch_seconds = watch_seconds
        self._watch_list = watch_list
        self._sleep = sleep
        self._clock = clock
        self._backoff = Backoff(BACKOFF, reset_after_seconds=BACKOFF_RESET_SECONDS, clock=clock)
        self._objects: dict[Key, T] = {}
        self._callbacks: list[Callback[T]] = []
        self._synced = asyncio.Event()
        self._listed = False
        self._version = first_version
        self._version_lost = False  # the server refused to list at _version: ask for the newest
        self._plain_list_next = False
        self._streamed = False  # the last attempt at the initial state was a WatchList
        self._failing = False

    def get(self, namespace: str, name: str) -> T | None:
        """Return the object as last seen; the namespace of a cluster-scoped one is ""."""
        return self._objects.get((namespace, name))

    def items(self) -> list[T]:
        return list(self._objects.values())

    def subscribe(self, callback: Callback[T]) -> Callable[[], None]:
        """Call `callback(type, old, new)` for each change; known objects come at once as ADDED. Returns the undo.

        `new` is None for DELETED, with the last known state as `old`. Callbacks run in the event loop: be quick.
        """
        self._callbacks.append(callback)
        for obj in self.items():
            self._call(callback, EventType.ADDED, None, obj)
        return lambda: self._callbacks.remove(callback)

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    async def synced(self) -> None:
        """Wait for the first complete list."""
        await self._synced.wait()

    async def run(self) -> None:
        """Keep the copy up to date until cancelled."""
        while True:
            try:
                await self._once()
            except ApiError as error:
                if self._recover(error):
                    continue
                self._report(error)
                await self._sleep(self._backoff.next_delay())

    async def _once(self) -> None:
        if self._listed:
            await self._watch()
            return
        self._streamed = self._watch_list and not self._plain_list_next
        self._plain_list_next = False
        if self._streamed:
            await self._watch_initial()
        else:
            await self._list()

    async def _list(self) -> None:
        listed = await self._client.list(
            self._kind,
            self._namespace,
            field_selector=self._field_selector,
            label_selector=self._label_selector,
            resource_version="" if self._version_lost else self._version,
        )
        self._replace({key_of(obj): obj for obj in listed.items}, listed.resource_version)

    def _events(self, initial: bool) -> AsyncIterator[WatchEvent[T]]:
        version = "" if initial and (self._version_lost or self._version == "0") else self._version
        return self._client.watch(
            self._kind,
            self._namespace,
            field_selector=self._field_selector,
            label_selector=self._label_selector,
            resource_version=version,
            send_initial_events=initial,
            timeout_seconds=random.randint(*self._watch_seconds),
        )

    async def _watch(self) -> None:
        started_at, quiet = self._clock(), True
        async with _closing(self._events(initial=False)) as events:
            async for event in events:
                quiet = False
                self._apply(event)
        if quiet and self._clock() - started_at < SHORT_WATCH_SECONDS:
            raise Unavailable("very short watch: it ended without an event", Fault.RESET)

    async def _watch_initial(self) -> None:
        objects: dict[Key, T] = {}
        loop = asyncio.get_running_loop()
        name = self._kind.__name__
        late = loop.call_later(
            BOOKMARK_WARNING_SECONDS, log.warning, "watch of %s: no initial state after 10 s, still waiting", name
        )
        try:
            async with _closing(self._events(initial=True)) as events:
                deadline = loop.time() + BOOKMARK_DEADLINE_SECONDS
                while not self._listed:
                    event = await _next(events, deadline)
                    if event.initial_events_end:
                        late.cancel()
                        self._replace(objects, event.resource_version)
                    elif event.object is not None:
                        _put(objects, event.type, event.object)
                async for event in events:
                    self._apply(event)
        finally:
            late.cancel()

    def _recover(self, error: ApiError) -> bool:
        """Choose where to go on from after `error`; True: at once, without waiting."""
        if not self._listed:
            if isinstance(error, errors.Expired) or error.has_cause("ResourceVersionTooLarge"):
                retry, self._version_lost = not self._version_lost, True
                return retry
            if self._streamed and not error.retriable:
                # no WatchList here: for good if the server rejects the request itself, else for the next attempt
                self._watch_list = error.status not in (400, 422)
                self._plain_list_next = True
                return not self._watch_list
            return False
        if error.has_cause("ResourceVersionTooLarge"):
            self._listed, self._version_lost = False, True
            return False
        if isinstance(error, errors.Expired):
            self._listed = False
            return True
        if not error.retriable:
            self._listed = False
        return False

    def _report(self, error: ApiError) -> None:
        level = logging.DEBUG if self._failing else logging.WARNING
        log.log(level, "watch of %s %s: %s", self._kind.__name__, self._field_selector, error)
        self._failing = True

    def _replace(self, objects: dict[Key, T], version: str) -> None:
        before = self._objects
        self._objects = objects
        self._listed, self._version, self._version_lost = True, version, False
        self._failing = False
        for key, old in before.items():
            if key not in objects:
                self._notify(EventType.DELETED, old, None)
        for key, new in objects.items():
            previous = before.get(key)
            if previous is None:
                self._notify(EventType.ADDED, None, new)
            elif metadata_of(previous).resourceVersion != metadata_of(new).resourceVersion:
                self._notify(EventType.MODIFIED, previous, new)
        self._synced.set()

    def _apply(self, event: WatchEvent[T]) -> None:
        self._failing = False
        if event.resource_version:
            self._version = event.resource_version
        obj = event.object
        if obj is None:
            return
        old = _put(self._objects, event.type, obj)
        if event.type is not EventType.DELETED:
            self._notify(EventType.MODIFIED if old is not None else EventType.ADDED, old, obj)
        elif old is not None:
            self._notify(EventType.DELETED, obj, None)

    def _notify(self, kind: EventType, old: T | None, new: T | None) -> None:
        for callback in tuple(self._callbacks):
            self._call(callback, kind, old, new)

    def _call(self, callback: Callback[T], kind: EventType, old: T | None, new: T | None) -> None:
        try:
            callback(kind, old, new)
        except Exception:  # one subscriber's bug must not make the others blind
            log.exception("a subscriber to %s failed", self._kind.__name__)


def _put(objects: dict[Key, T], kind: EventType, obj: T) -> T | None:
    """Apply one event to a set and return what stood there before."""
    key = key_of(obj)
    if kind is EventType.DELETED:
        return objects.pop(key, None)
    old = objects.get(key)
    objects[key] = obj
    return old


async def _next(events: AsyncIterator[WatchEvent[T]], deadline: float) -> WatchEvent[T]:
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(events)
    except TimeoutError:
        # it took the request but does not know the parameters: as good as a rejection
        raise errors.BadRequest(400, "", "the server sends no end of the initial events") from None
    except StopAsyncIteration:
        raise Unavailable("the watch ended before the initial state was complete", Fault.RESET) from None


@contextlib.asynccontextmanager
async def _closing(events: AsyncIterator[WatchEvent[T]]) -> AsyncIterator[AsyncIterator[WatchEvent[T]]]:
    try:
        yield events
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
