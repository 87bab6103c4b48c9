"""A local copy of a set of API objects, kept up to date by list and watch.

Outages only make it old, never wrong: it resumes the watch where it stopped, and lists again when the server has forgotten
that place, reporting what vanished meanwhile as DELETED. A server that refuses streaming lists, or answers them with rubbish,
is asked for plain ones; one whose watches do not work is listed again and again. Source: client-go's reflector
(docs/facts/api-client-and-server.md B.2, B.3).
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
from nodeagent.api.client import MAX_RETRY_AFTER_SECONDS, ApiClient
from nodeagent.api.errors import ApiError, Fault, Unavailable
from nodeagent.api.outage import Outage
from nodeagent.api.resources import is_older, key_of, metadata_of
from nodeagent.api.wire import EventType, WatchEvent
from runtimes.linux.retry import Backoff, RetryPolicy

log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)
Key = tuple[str, str]
Callback = Callable[[EventType, T | None, T | None], None]

BACKOFF = RetryPolicy(first_seconds=0.8, factor=2.0, cap_seconds=30.0, jitter=1.0)
BACKOFF_RESET_SECONDS = 120.0
SHORT_WATCH_SECONDS = 1.0
SHORT_ROUNDS = 6  # lists and watches in a row that took less: then each of them waits
WATCH_TRIES = 4  # failed watches in a row until the copy is kept by lists alone
BOOKMARK_SECONDS = 10.0  # without an event of the initial state
WATCH_SECONDS = (300, 600)


class Informer(Generic[T]):
    """Mirrors the objects of `kind` that match, from `run()` on. Read it and subscribe from the same event loop.

    `watch_list`: first try to get the initial state as a stream (WatchList). `first_version`: what the first plain list
    asks for: "0" whatever the server has at hand, "" the newest. `absent_is_empty`: an API that does not know the kind (404)
    counts as one without objects of it. Objects handed out are shared: do not change them.
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
        absent_is_empty: bool = False,
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
        self._streaming = watch_list  # the next attempt at the initial state is a WatchList
        self._absent_is_empty = absent_is_empty
        self._failed_watches = 0  # in a row
        self._short_rounds = 0  # in a row
        self._trial: asyncio.TimerHandle | None = None
        self._taken = False  # the server has taken the request for a stream
        self._opened_at = float("inf")  # when the server took the last watch
        self._name = f"{kind.__name__} {field_selector}".rstrip()
        self._listing = Outage(f"list of {self._name}", clock=clock)
        self._watching = Outage(f"watch of {self._name}", clock=clock)

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
        try:
            while True:
                try:
                    await self._timed()
                except ApiError as error:
                    if self._clock() - self._opened_at >= SHORT_WATCH_SECONDS:
                        self._backoff.reset()  # it has worked for a while: this is another outage
                    self._opened_at = float("inf")
                    if not self._recover(error):
                        await self._sleep(max(self._backoff.next_delay(), _asked_for(error)))
        finally:
            self._listing.close()
            self._watching.close()

    @property
    def blind_seconds(self) -> float:
        """How long it has not been known whether the copy is complete and current; 0: it is."""
        if not self._listed:
            return self._listing.seconds
        return 0.0 if self._polling else self._watching.seconds

    @property
    def trouble(self) -> str:
        """Why the copy may be old or incomplete; empty: nothing is known to be wrong."""
        return self._listing.reason or self._watching.reason

    async def _timed(self) -> None:
        """One list or watch. A server whose answers are all in order and all short (410 after each list, a watch that ends with
        its first event) must not make a hot loop of them."""
        started_at, is_watch = self._clock(), self._listed
        try:
            await self._once()
        finally:
            short = self._clock() - started_at < SHORT_WATCH_SECONDS
            self._short_rounds = self._short_rounds + 1 if short else 0
        if is_watch and self._hasty:
            raise Unavailable("very short watches, one after the other", Fault.RESET)

    @property
    def _hasty(self) -> bool:
        return self._short_rounds >= SHORT_ROUNDS

    async def _once(self) -> None:
        if self._listed:
            await self._watch()
            return
        self._listing.tried()
        self._streaming = self._streaming and self._client.streams_lists
        if self._streaming:
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
            patient=False,  # it is told that there is no list, and why, while it waits
        )
        self._streaming = self._watch_list
        objects = {key_of(obj): obj for obj in listed.items}
        for key in listed.unread:
            if key in self._objects:  # that it cannot be read does not mean that it is gone
                objects[key] = self._objects[key]
        self._replace(objects, listed.resource_version)

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
            opened=self._opened,
        )

    async def _watch(self) -> None:
        started_at, quiet = self._clock(), True
        try:
            async with _closing(self._events(initial=False)) as events:
                async for event in events:
                    quiet = False
                    self._apply(event)
        finally:
            self._cancel_trial()
        if quiet and self._clock() - started_at < SHORT_WATCH_SECONDS:
            raise Unavailable("very short watch: it ended without an event", Fault.RESET)
        self._watch_works()

    async def _watch_initial(self) -> None:
        objects: dict[Key, T] = {}
        self._taken = False
        try:
            async with _closing(self._events(initial=True)) as events:
                while not self._listed:
                    event = await self._next_initial(events)
                    if event.initial_events_end:
                        self._replace(objects, event.resource_version)
                        self._watch_works()
                    elif event.object is not None:
                        _put(objects, event.type, event.object)
                    elif event.type in (EventType.ADDED, EventType.MODIFIED) and (old := self._objects.get(event.key)):
                        objects[event.key] = old
                async for event in events:
                    self._apply(event)
        finally:
            self._cancel_trial()

    async def _next_initial(self, events: AsyncIterator[WatchEvent[T]]) -> WatchEvent[T]:
        try:
            async with asyncio.timeout(BOOKMARK_SECONDS):
                return await anext(events)
        except TimeoutError:
            if not self._taken:
                raise Unavailable("the API server did not answer in time", Fault.TIMEOUT) from None
            # it took the request but does not know the parameters: as good as a rejection
            raise errors.BadRequest(400, "", "the server sends no end of the initial events") from None
        except StopAsyncIteration:
            raise Unavailable("the watch ended before the initial state was complete", Fault.RESET) from None

    def _opened(self) -> None:
        """The server has taken a watch. What it sends may be rubbish still, so it is on trial for a moment."""
        self._taken = True
        self._opened_at = self._clock()
        self._cancel_trial()
        if self._listed:
            self._trial = asyncio.get_running_loop().call_later(SHORT_WATCH_SECONDS, self._watch_works)

    def _cancel_trial(self) -> None:
        if self._trial is not None:
            self._trial.cancel()
            self._trial = None

    def _watch_works(self) -> None:
        self._cancel_trial()
        self._failed_watches = 0
        self._watching.works()

    def _recover(self, error: ApiError) -> bool:
        """Choose where to go on from after `error`; True: at once, without waiting."""
        return self._recover_watch(error) if self._listed else self._recover_list(error)

    def _recover_list(self, error: ApiError) -> bool:
        if isinstance(error, errors.Expired) or error.has_cause("ResourceVersionTooLarge"):
            retry, self._version_lost = not self._version_lost, True
            if retry:
                return True
        if self._streaming:
            # Any error of a streaming list: a plain list may do. For good, and for every kind, if the server rejects the
            # request itself or does not know it; else until something has to be listed again.
            log.info("streaming list of %s: %s; asking for a plain list", self._name, error)
            if error.status in (400, 422):
                self._client.streams_no_lists()
            self._streaming = False
            if not _busy(error):
                return True
        self._listing.failed(str(error))
        if self._absent_is_empty and isinstance(error, errors.NotServed) and not self.has_synced:
            self._synced.set()  # this API has no such kind: those who wait go on with none, and it is asked for again
        return False

    def _recover_watch(self, error: ApiError) -> bool:
        if isinstance(error, errors.Expired):
            self._listed = False
            return not self._hasty
        self._watching.failed(str(error))
        if error.has_cause("ResourceVersionTooLarge"):
            # at once where it has not been so before: from then on a server that lags would be asked again and again
            first, self._failed_watches = self._failed_watches == 0, self._failed_watches + 1
            self._listed, self._version_lost = False, True
            return first
        if isinstance(error, Unavailable) and error.fault is Fault.REFUSED:
            return False  # nobody there: the watch goes on where it stopped
        # A server whose watches do not work may still list: the copy is then as old as the last list.
        was_polling, self._failed_watches = self._polling, self._failed_watches + 1
        malformed = isinstance(error, Unavailable) and error.fault is Fault.MALFORMED
        if malformed or not error.retriable or self._polling:
            self._listed = False
            if not was_polling:
                self._listing.tried(self._watching.since)
        return False

    @property
    def _polling(self) -> bool:
        return self._failed_watches >= WATCH_TRIES

    def _replace(self, objects: dict[Key, T], version: str) -> None:
        before = self._objects
        self._objects = objects
        self._listed, self._version, self._version_lost = True, version, False
        self._listing.works()
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
        self._watch_works()
        if event.resource_version:
            if is_older(event.resource_version, self._version):
                raise errors.Expired(410, "Expired", "the server's history went back: it was restored from a backup")
            self._version = event.resource_version
        obj = event.object
        if obj is None:
            if event.type is EventType.DELETED and (gone := self._objects.pop(event.key, None)) is not None:
                self._notify(EventType.DELETED, gone, None)
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


def _busy(error: ApiError) -> bool:
    """Nobody is there, or too many are: asking again at once would only add to it."""
    return error.status == 429 or (isinstance(error, Unavailable) and error.fault is Fault.REFUSED)


def _asked_for(error: ApiError) -> float:
    return min(error.retry_after_seconds or 0.0, MAX_RETRY_AFTER_SECONDS)


@contextlib.asynccontextmanager
async def _closing(events: AsyncIterator[WatchEvent[T]]) -> AsyncIterator[AsyncIterator[WatchEvent[T]]]:
    try:
        yield events
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
