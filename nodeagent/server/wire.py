"""A connection after its upgrade: raw bytes both ways, with back-pressure."""

import asyncio
import contextlib
from collections import deque
from typing import Protocol

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from typing_extensions import override

_HIGH_BYTES = 256 * 1024  # read ahead of the consumer at most, and written ahead of the peer
_LOW_BYTES = 64 * 1024


class Wire(Protocol):
    """Raw bytes to and from a client. One reader; writes of one caller stay whole and in order."""

    async def read(self) -> bytes:
        """What has come; b"" once the peer has gone."""
        ...

    def write(self, data: bytes) -> None: ...

    @property
    def pending_bytes(self) -> int:
        """Written, but not yet taken by the network."""
        ...

    async def drain(self) -> None:
        """Returns when more may be written. Raises ConnectionResetError when the peer has gone."""
        ...

    async def finish(self) -> None:
        """Returns when all is sent, then closes."""
        ...

    def abort(self) -> None:
        """Close at once. Repeatable."""
        ...


class RawWire(asyncio.Protocol):
    """The transport of an HTTP request, taken away from the HTTP server."""

    def __init__(self, transport: asyncio.Transport, server: asyncio.Protocol | None) -> None:
        self._transport = transport
        self._server = server
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._ended = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = False
        transport.set_write_buffer_limits(high=_HIGH_BYTES)

    # -- what the transport calls --------------------------------------------------------------------------------------

    @override
    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        self._arrived.set()
        if self._buffered > _HIGH_BYTES:
            self._transport.pause_reading()

    @override
    def eof_received(self) -> bool | None:
        self._ended = True
        self._arrived.set()
        return None

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = self._lost = True
        self._arrived.set()
        self._writable.set()
        if self._server is not None:
            self._server.connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        self._writable.clear()

    @override
    def resume_writing(self) -> None:
        self._writable.set()

    # -- Wire ----------------------------------------------------------------------------------------------------------

    async def read(self) -> bytes:
        while not self._chunks:
            if self._ended:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        chunk = self._chunks.popleft()
        self._buffered -= len(chunk)
        if self._buffered <= _LOW_BYTES and not self._ended and not self._transport.is_reading():
            self._transport.resume_reading()
        return chunk

    def write(self, data: bytes) -> None:
        if not self._lost and not self._transport.is_closing():
            self._transport.write(data)

    @property
    def pending_bytes(self) -> int:
        return 0 if self._lost else self._transport.get_write_buffer_size()

    async def drain(self) -> None:
        await self._writable.wait()
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")

    async def finish(self) -> None:
        if not self._lost:
            # with one byte pending writing is paused at once; it is resumed when none is left
            self._transport.set_write_buffer_limits(high=1, low=0)
            with contextlib.suppress(ConnectionResetError):
                await self.drain()
            self._transport.close()

    def abort(self) -> None:
        if not self._transport.is_closing():  # what is closing has said all it had to
            self._transport.abort()


class TakenOver(web.StreamResponse):
    """What a handler returns whose connection is no HTTP any more: nothing is sent."""

    @override
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        return None


def take_over(request: web.Request) -> RawWire:
    """From here on the HTTP server sees nothing of the connection but its end; the handler returns `TakenOver`.

    Raises ConnectionResetError.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    wire = RawWire(transport, request.protocol)
    transport.set_protocol(wire)
    if not transport.is_reading():
        transport.resume_reading()
    return wire
