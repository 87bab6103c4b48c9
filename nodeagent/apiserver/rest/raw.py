"""Raw connections: after the handshake of an upgrade, bytes are carried both ways untouched."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from typing_extensions import override

from runtimes.kube.whole_number import whole_number

HIGH_WATER_BYTES = 256 << 10
HEAD_LIMIT_BYTES = 64 << 10
ERROR_BODY_LIMIT_BYTES = 50_000
_CHUNK = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of an HTTP/1.1 response: `raw` as received, header names in lower case."""

    raw: bytes
    status: int
    headers: Mapping[str, str]


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Raises `ConnectionError` when there is none."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ConnectionError("the other side sent no HTTP response") from error
    lines = raw.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    status = whole_number(parts[1]) if len(parts) > 1 else None
    if status is None:
        raise ConnectionError(f"the other side sent no HTTP response but {lines[0][:80]!r}")
    pairs = (line.partition(":") for line in lines[1:] if line)
    return Head(raw=raw, status=status, headers={name.strip().lower(): value.strip() for name, _, value in pairs})


async def read_error_body(reader: asyncio.StreamReader, head: Head) -> bytes:
    """What comes with a refusal, as far as it is worth showing."""
    length = head.headers.get("content-length", "")
    if (wanted := whole_number(length)) is not None:
        try:
            return await reader.readexactly(min(wanted, ERROR_BODY_LIMIT_BYTES))
        except asyncio.IncompleteReadError as error:
            return error.partial
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        return await _read_chunks(reader)
    return await reader.read(ERROR_BODY_LIMIT_BYTES)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    try:
        while len(body) < ERROR_BODY_LIMIT_BYTES:
            size = whole_number((await reader.readline()).split(b";")[0].strip(), 16)
            if not size:
                break
            body += await reader.readexactly(size)
            await reader.readline()
    except (ValueError, asyncio.IncompleteReadError):
        return body
    return body[:ERROR_BODY_LIMIT_BYTES]


def request_head(method: str, path: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class FromClient:
    """Takes what aiohttp reads from a client after the request, in place of its own parser.

    A client that sends faster than the other side takes is not read from until that catches up.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._chunks: list[bytes] = []
        self._bytes = 0
        self._ended = False
        self._paused = False
        self._wake = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._chunks.append(bytes(data))
        self._bytes += len(data)
        if self._bytes > HIGH_WATER_BYTES and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()
        self._wake.set()
        return False, b""

    def feed_eof(self) -> None:
        self._ended = True
        self._wake.set()

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        self.feed_eof()

    async def read(self) -> bytes:
        """Whatever came since the last call; `b""` at the end."""
        while not self._chunks and not self._ended:
            self._wake.clear()
            await self._wake.wait()
        data, self._chunks, self._bytes = b"".join(self._chunks), [], 0
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return data


class Detached(web.StreamResponse):
    """Stands for an answer that was written to the connection directly. Nothing more is sent on it."""

    @override
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self.force_close()
        return None

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        return None


async def carry(
    http: web.BaseRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
) -> Detached:
    """Send `head` to the client, then carry bytes both ways until either side ends. Closes both."""
    protocol, transport = http.protocol, http.transport
    if transport is None:
        raise ConnectionError("the client is gone")
    client = FromClient(transport)
    protocol.set_parser(client)  # type: ignore[arg-type]  # duck-typed: feed_data, feed_eof, set_exception are what is called
    transport.write(head)

    async def upwards() -> None:
        while data := await client.read():
            writer.write(data)
            await writer.drain()

    async def downwards() -> None:
        while data := await reader.read(_CHUNK):
            transport.write(data)
            await protocol._drain_helper()

    tasks = [asyncio.ensure_future(upwards()), asyncio.ensure_future(downwards())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
        transport.close()
    return Detached()
