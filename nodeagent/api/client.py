"""Typed calls to the Kubernetes API: get, list, watch, create, replace, patch, delete.

Objects are the lightkube models; msgspec decodes straight into them. Rate limit, Retry-After and deadlines are kept
here. Source: client-go's rest client (docs/facts/api-client-and-server.md A.5, B.1, B.3).
"""

import asyncio
import contextlib
import enum
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from nodeagent.api import errors, wire
from nodeagent.api.errors import ApiError, Fault, Unavailable
from nodeagent.api.kubeconfig import Connection
from nodeagent.api.observers import CallObserver
from nodeagent.api.ratelimit import TokenBucket
from nodeagent.api.resources import key_of, resource_of
from nodeagent.api.transport import NO_ANSWER, Transport, translate
from nodeagent.api.wire import EventType, WatchEvent

log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)
Patch = dict[str, Any] | list[Any]

PAGE_SIZE = 500
MAX_RETRIES = 10
MAX_RETRY_AFTER_SECONDS = 60.0
DEFAULT_TIMEOUT_SECONDS = 30.0
# How much longer than its own timeoutSeconds a watch may stay open before the peer counts as hung.
WATCH_GRACE_SECONDS = 30.0
# A watch that has bookmarks gets one a minute. Where none comes for so long, it may be open on this side alone: the kernel of a
# frozen peer, or a proxy, acknowledges all the same. Asking anew from the same place costs one request, and no list.
WATCH_SILENCE_SECONDS = 150.0
# Before a request whose connection broke is sent again. On one that had been idle it was sent twice at once already, by aiohttp.
RESET_WAIT_SECONDS = 1.0
MAX_WARNINGS_REMEMBERED = 1000
# Requests of one client that are under way at once, watches not counted. Each has a connection of its own, as HTTP/1.1 has it: a
# burst would open hundreds, with a TLS handshake and 300 kB on both sides for each, and be served no sooner.
MAX_IN_FLIGHT = 16

__all__ = ["ApiClient", "EventType", "Listed", "PatchType", "WatchEvent"]


class PatchType(enum.Enum):
    """How a patch body is to be read."""

    STRATEGIC = "application/strategic-merge-patch+json"
    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Generic[T]):
    """A consistent list and the resource version that it shows."""

    items: list[T]
    resource_version: str
    unread: frozenset[tuple[str, str]] = frozenset()  # (namespace, name) of objects that could not be decoded


class Sender(Protocol):
    """Who carries requests to the server, as `Transport` does and says."""

    @property
    def observer(self) -> CallObserver: ...

    @property
    def streams_lists(self) -> bool: ...

    def streams_no_lists(self) -> None: ...

    def heard(self) -> None: ...

    async def unanswered(self) -> None: ...

    async def send(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "", accept: str = ""
    ) -> aiohttp.ClientResponse: ...

    async def close(self) -> None: ...


class ApiClient:
    """A client of one API server. Calls may run concurrently; they share connections, and one rate limit.

    `qps`, `burst`: the limit, negative `qps` for none; watches do not count. `timeout_seconds`: of each attempt. `in_flight`: so
    many requests at once, watches not counted (hack/bench sends more); clients that share the connections have their own.
    Every call raises ApiError: a subclass for the server's answer, Unavailable when there was none.
    """

    def __init__(
        self,
        connection: Connection | Sender,
        *,
        qps: float = 50.0,
        burst: int = 100,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        in_flight: int = MAX_IN_FLIGHT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = Transport(connection) if isinstance(connection, Connection) else connection
        self._limit = TokenBucket(qps, burst)
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep
        self._in_flight = asyncio.Semaphore(in_flight)
        self._warned: set[str] = set()

    @property
    def streams_lists(self) -> bool:
        """Whether the server takes requests for streaming lists, as far as those who share the connections have found out."""
        return self._transport.streams_lists

    def streams_no_lists(self) -> None:
        """The server has refused one for good."""
        self._transport.streams_no_lists()

    def sharing(self, *, qps: float, burst: int, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> "ApiClient":
        """Return a client with a limit and deadline of its own over the same connections (events, heartbeats)."""
        return ApiClient(self._transport, qps=qps, burst=burst, timeout_seconds=timeout_seconds, sleep=self._sleep)

    async def turn(self, verb: str) -> None:
        """Wait as long as the rate limit asks of a request with this method. Requests do so by themselves; who wants to send what
        is newest by then waits first, and sends through a client without a limit."""
        delay = self._limit.reserve()
        if delay > 0:
            await self._sleep(delay)
        if self._limit.limits:
            self._transport.observer.waited(verb, delay)

    async def close(self) -> None:
        """Close all connections, also those of the clients that share them."""
        await self._transport.close()

    async def __aenter__(self) -> "ApiClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, kind: type[T], name: str, namespace: str | None = None) -> T:
        """Return one object as it is now."""
        return wire.decode(kind, await self.request("GET", resource_of(kind).path(namespace, name)))

    async def list(
        self,
        kind: type[T],
        namespace: str | None = None,
        *,
        field_selector: str = "",
        label_selector: str = "",
        resource_version: str = "",
        page_size: int = PAGE_SIZE,
        patient: bool = True,
    ) -> Listed[T]:
        """Return all objects, page by page. `resource_version`: "" the newest, "0" whatever the server has at hand.

        A continue token that expires in the middle makes it one full list. `page_size` 0: no paging. Not `patient`: a server
        that asks to come back later (Retry-After) is an error at once.
        """
        request = functools.partial(self.request, "GET", patient=patient)
        path = resource_of(kind).path(namespace)
        query = _selectors(field_selector, label_selector)
        # a server ignores paging for a concrete version; asking for it would only defeat its cache
        paged = page_size > 0 and resource_version in ("", "0")
        first = {**query, "resourceVersion": resource_version, "limit": str(page_size) if paged else ""}
        page = wire.decode_list(kind, await request(_url(path, first)))
        items, unread = page.items, page.unread
        while page.token:
            follow = {**query, "limit": str(page_size), "continue": page.token}
            try:
                page = wire.decode_list(kind, await request(_url(path, follow)))
            except errors.Expired:
                full = {**query, "resourceVersion": resource_version}
                page = wire.decode_list(kind, await request(_url(path, full)))
                items, unread = [], frozenset()
            items, unread = items + page.items, unread | page.unread
        return Listed(items=items, resource_version=page.resource_version, unread=unread)

    async def watch(
        self,
        kind: type[T],
        namespace: str | None = None,
        *,
        field_selector: str = "",
        label_selector: str = "",
        resource_version: str = "",
        send_initial_events: bool = False,
        timeout_seconds: int = 300,
        bookmarks: bool = True,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[WatchEvent[T]]:
        """Yield events until the server ends the watch after `timeout_seconds`. `opened` is called when it has begun.

        With `bookmarks` it also ends, as if the server had ended it, when nothing has come for WATCH_SILENCE_SECONDS.
        An ERROR event is raised as the ApiError that it carries. With `send_initial_events` (WatchList) the current
        objects come first as ADDED, then a BOOKMARK with `initial_events_end`. Close it when done: `aclosing(...)`.
        """
        query = _selectors(field_selector, label_selector)
        query |= {"watch": "true", "resourceVersion": resource_version, "timeoutSeconds": str(timeout_seconds)}
        if bookmarks or send_initial_events:
            query["allowWatchBookmarks"] = "true"
        if send_initial_events:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        path = _url(resource_of(kind).path(namespace), query)
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    response = await self._transport.send("GET", path)
                    stack.callback(response.close)
                    if response.status != 200:
                        raise _error(response, await response.read())
            except (aiohttp.ClientError, TimeoutError, OSError, Unavailable) as error:
                raise await self._lost(error) from error
            if (
                response.headers.get("Content-Type") and response.content_type != "application/json"
            ):  # what a proxy in between says when the API is gone
                raise Unavailable(f"the answer to a watch is {response.content_type}", Fault.MALFORMED)
            opened()
            silence = WATCH_SILENCE_SECONDS if "allowWatchBookmarks" in query else float("inf")
            async for line in _lines(response, timeout_seconds + WATCH_GRACE_SECONDS, silence, self._transport.heard):
                yield wire.decode_event(kind, line)

    async def create(self, obj: T, namespace: str | None = None) -> T:
        """Create an object and return what the server made of it. `namespace`: the object's own, unless given."""
        path = resource_of(type(obj)).path(namespace or key_of(obj)[0])
        return wire.decode(type(obj), await self.request("POST", path, wire.encode(obj)))

    async def replace(self, obj: T, *, subresource: str = "") -> T:
        """Write a whole object back. Its resourceVersion, if set, must be the current one (else Conflict)."""
        namespace, name = key_of(obj)
        path = resource_of(type(obj)).path(namespace, name, subresource)
        return wire.decode(type(obj), await self.request("PUT", path, wire.encode(obj)))

    async def patch(
        self,
        kind: type[T],
        name: str,
        namespace: str | None,
        patch: Patch,
        *,
        subresource: str | None = None,
        patch_type: PatchType = PatchType.STRATEGIC,
    ) -> T:
        """Patch an object, or a subresource of it, and return the whole object."""
        path = resource_of(kind).path(namespace, name, subresource or "")
        return wire.decode(kind, await self.request("PATCH", path, wire.encode(patch), patch_type.value))

    async def delete(
        self,
        kind: type[msgspec.Struct],
        name: str,
        namespace: str | None = None,
        *,
        grace_period_seconds: int | None = None,
        uid: str | None = None,
    ) -> None:
        """Delete an object, only if its uid is `uid` where given (else Conflict)."""
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        await self.request("DELETE", resource_of(kind).path(namespace, name), wire.encode(options))

    async def post(
        self, kind: type[msgspec.Struct], name: str, namespace: str | None, subresource: str, body: object
    ) -> dict[str, Any]:
        """POST to a subresource (token, eviction, binding) and return the decoded answer."""
        path = resource_of(kind).path(namespace, name, subresource)
        return wire.decode_any(await self.request("POST", path, wire.encode(body)))

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        *,
        patient: bool = True,
        accept: str = "",
    ) -> bytes:
        """Send any request and return the body of a 2xx answer. `path` is percent-encoded, with its query; `accept` empty: JSON.

        429 and 5xx answers with Retry-After are retried up to 10 times, if `patient`; GETs also after a reset, a second apart.
        """
        began = time.monotonic()
        try:
            await self.turn(method)
            return await self._answer(method, path, body, content_type if body is not None else "", accept, patient)
        finally:
            self._transport.observer.ended(method, time.monotonic() - began, len(body or b""))

    async def _answer(
        self, method: str, path: str, body: bytes | None, content_type: str, accept: str, patient: bool
    ) -> bytes:
        for attempt in range(MAX_RETRIES + 1):
            last = attempt == MAX_RETRIES
            try:
                return await self._attempt(method, path, body, content_type, accept, again=attempt > 0)
            except Unavailable as error:
                if last or method != "GET" or error.fault is not Fault.RESET:
                    raise
                await self._sleep(RESET_WAIT_SECONDS)
            except ApiError as error:
                wait = error.retry_after_seconds
                if last or wait is None or not patient or not (error.status == 429 or error.status >= 500):
                    raise
                log.info("%s %s: %s; retrying in %gs", method, path, error.message, wait)
                await self._sleep(min(wait, MAX_RETRY_AFTER_SECONDS))
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(
        self, method: str, path: str, body: bytes | None, content_type: str, accept: str, *, again: bool
    ) -> bytes:
        observer, code = self._transport.observer, NO_ANSWER
        try:
            async with self._in_flight, asyncio.timeout(self._timeout_seconds):
                response = await self._transport.send(method, path, body, content_type, accept)
                async with response:
                    answer = await response.read()
            code = str(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError, Unavailable) as error:
            raise await self._lost(error) from error
        finally:
            if again:
                observer.retried(method, code)
        observer.received(method, len(answer))
        if "Warning" in response.headers:
            self._warn(response)
        if not 200 <= response.status < 300:
            raise _error(response, answer)
        return answer

    async def _lost(self, error: BaseException) -> Unavailable:
        """What became of a request; one without an answer in time is told to the transport."""
        lost = error if isinstance(error, Unavailable) else translate(error)
        if lost.fault is Fault.TIMEOUT:
            await self._transport.unanswered()
        return lost

    def _warn(self, response: aiohttp.ClientResponse) -> None:
        for header in response.headers.getall("Warning"):
            code, _, rest = header.partition(" ")
            text = rest.partition(" ")[2].strip().strip('"')
            if code == "299" and text not in self._warned and len(self._warned) < MAX_WARNINGS_REMEMBERED:
                self._warned.add(text)
                log.warning("API server: %s", text)


def _selectors(field_selector: str, label_selector: str) -> dict[str, str]:
    return {"fieldSelector": field_selector, "labelSelector": label_selector}


def _url(path: str, query: dict[str, str]) -> str:
    given = {key: value for key, value in query.items() if value}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path


def _error(response: aiohttp.ClientResponse, body: bytes) -> ApiError:
    header = response.headers.get("Retry-After", "")
    return errors.from_response(response.status, body, float(header) if header.isascii() and header.isdigit() else None)


async def _lines(
    response: aiohttp.ClientResponse, seconds: float, silence_seconds: float, heard: Callable[[], None]
) -> AsyncIterator[bytes]:
    """The lines of an answer until it ends, or nothing has come for a while. Raises Unavailable: TIMEOUT after `seconds`."""
    splitter = wire.LineSplitter()
    now = asyncio.get_running_loop().time
    deadline = now() + seconds
    while True:
        silent = now() + silence_seconds
        try:
            # around the read only: a deadline that spans a yield would cancel the consumer's own work
            async with asyncio.timeout_at(min(deadline, silent)):
                chunk = await response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error, TimeoutError) and silent <= deadline:
                log.debug("a watch was silent for %.0f s: asking for it again", silence_seconds)
                return
            raise translate(error) from error
        if not chunk:
            break
        heard()
        for line in splitter.feed(chunk):
            yield line
    if line := splitter.rest():
        yield line
