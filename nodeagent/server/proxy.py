"""Streaming through a runtime's own server: bytes both ways between the client and the URL that the runtime answered."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from nodeagent.server.idle_timeout import IdleTimer
from nodeagent.server.wire import TakenOver, Wire, take_over
from runtimes.kube.whole_number import whole_number
from runtimes.linux.tasks import end_tasks

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
HEAD_SECONDS = 30.0
_PIECE_BYTES = 64 * 1024
_MAX_REFUSAL_BYTES = 64 * 1024
# not the client's credentials, which are none of the runtime's business
_DROPPED = frozenset({"authorization", "cookie", "host"})


@dataclass(frozen=True, slots=True)
class _Backend:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def proxy(request: web.Request, url: str, idle: IdleTimer) -> web.StreamResponse:
    """Pass an upgrade request on, and carry what follows. A refusal of the runtime's is the client's answer."""
    parts = urlsplit(url)
    if "upgrade" not in request.headers.get("Connection", "").lower():
        return web.Response(
            status=400, text=f"unable to upgrade: missing upgrade headers in request: {dict(request.headers)}"
        )
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, limit=_MAX_REFUSAL_BYTES)
    except (OSError, TimeoutError) as error:
        return web.Response(status=500, text=f"error dialing the runtime's streaming server at {parts.netloc}: {error}")
    try:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        writer.write(_head(request, path, parts.netloc))
        async with asyncio.timeout(HEAD_SECONDS):
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status != 101:
            return await _refusal(status, head, reader)
        wire = take_over(request)
        wire.write(head)
        await _splice(wire, _Backend(reader, writer), idle)
        return TakenOver()
    except (OSError, TimeoutError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError) as error:
        return web.Response(status=500, text=f"the runtime's streaming server gave no answer: {error}")
    finally:
        writer.close()


def _head(request: web.Request, path: str, host: str) -> bytes:
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name.lower() not in _DROPPED]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


async def _refusal(status: int, head: bytes, reader: asyncio.StreamReader) -> web.Response:
    length = next(
        (
            whole_number(line.split(b":", 1)[1].strip())
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        None,
    )
    body = b""
    with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(HEAD_SECONDS):
            body = await (
                reader.readexactly(min(length, _MAX_REFUSAL_BYTES)) if length else reader.read(_MAX_REFUSAL_BYTES)
            )
    return web.Response(status=status, body=body, content_type="text/plain")


async def _splice(wire: Wire, backend: _Backend, idle: IdleTimer) -> None:
    """Copy until either side ends; what the runtime said last reaches the client."""
    inward = asyncio.create_task(_to_backend(wire, backend.writer, idle), name="proxy input")
    outward = asyncio.create_task(_to_client(backend.reader, wire, idle), name="proxy output")
    waiting = asyncio.create_task(idle.expired(), name="proxy idle")
    try:
        await asyncio.wait({inward, outward, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if outward.done():
            await wire.finish()
    finally:
        wire.abort()  # what was to be sent has been, where it ended well
        await end_tasks(inward, outward, waiting)


async def _to_backend(wire: Wire, writer: asyncio.StreamWriter, idle: IdleTimer) -> None:
    while data := await wire.read():
        idle.touch()
        writer.write(data)
        await writer.drain()


async def _to_client(reader: asyncio.StreamReader, wire: Wire, idle: IdleTimer) -> None:
    while data := await reader.read(_PIECE_BYTES):
        idle.touch()
        wire.write(data)
        await wire.drain()
