"""Bytes between this server and its clients, bounded in all: what was made for them and is not taken, what they are sending.

A client that stops to read, or to send, keeps what it has for as long as nobody else needs the room; then the one that has stood
still longest is cut off. A client that is at work is never waited for longer than `patience_seconds`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

MAX_ANSWERS_BYTES = 64 << 20
"""Of all answers and watch events that were given to connections and not yet taken from them."""
MAX_BODIES_BYTES = 64 << 20
"""Of all request bodies that are being received or worked on."""
SMALL_BYTES = 64 << 10
"""What a connection buffers by itself: not counted. With the bound on connections it is bounded as well."""
PATIENCE_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class _Held:
    size: int
    since: float
    cut: Callable[[], None]


class InFlight:
    """Room for `most` bytes. Used from one event loop."""

    def __init__(
        self, most: int, *, patience_seconds: float = PATIENCE_SECONDS, clock: Callable[[], float] | None = None
    ) -> None:
        self._most = most
        self._patience = patience_seconds
        self._clock = clock
        self._held: dict[_Held, None] = {}
        self._size = 0
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def size(self) -> int:
        return self._size

    @asynccontextmanager
    async def holding(self, size: int, cut: Callable[[], None]) -> AsyncIterator[None]:
        """Keep `size` bytes for the time of the body, waiting until there is room. One that is larger than all the room goes
        alone. `cut` ends the connection that the bytes belong to; it must not raise, and may be called more than once."""
        if size <= SMALL_BYTES:
            yield
            return
        while self._held and self._size + size > self._most:
            await self._wait()
        held = _Held(size, self._now(), cut)
        self._held[held] = None
        self._size += size
        try:
            yield
        finally:
            del self._held[held]
            self._size -= size
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _now(self) -> float:
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()

    async def _wait(self) -> None:
        """Wait until something was given back, or the oldest has stood for too long and is cut off."""
        oldest = next(iter(self._held))
        left = oldest.since + self._patience - self._now()
        if left <= 0:
            oldest.cut()
            oldest.since = self._now()  # its holder is on the way out
            left = self._patience
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=left)
        finally:
            self._waiters.discard(waiter)


async def send(http: web.BaseRequest, response: web.Response) -> web.StreamResponse:
    """Answer with `response`: a large one as fast as the client takes it, so that this call ends when its bytes are gone."""
    body = response.body
    if not isinstance(body, bytes) or len(body) <= SMALL_BYTES or http.method == "HEAD":
        return response
    streamed = web.StreamResponse(status=response.status, headers=response.headers)
    streamed.content_length = len(body)
    await streamed.prepare(http)
    await in_pieces(http, streamed, body)
    await streamed.write_eof()
    return streamed


async def in_pieces(http: web.BaseRequest, response: web.StreamResponse, data: bytes) -> None:
    """Write `data` and wait until no more of it is left than connections buffer by themselves. In pieces, because a TLS
    transport hands whatever it is given to the one below in one go, and only holds back the next."""
    if len(data) <= SMALL_BYTES:
        await response.write(data)
        return
    for start in range(0, len(data), SMALL_BYTES):
        await response.write(data[start : start + SMALL_BYTES])
        await http.writer.drain()
