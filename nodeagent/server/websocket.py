"""exec and attach over WebSocket: the channel protocols (docs/facts/api-client-and-server.md O)."""

import asyncio
import base64
import binascii
import contextlib
from collections.abc import Iterable

from aiohttp import WSCloseCode, WSMsgType, web
from typing_extensions import override

from nodeagent.server.byte_queue import ByteQueue
from nodeagent.server.exit_status import ExitStatus
from nodeagent.server.idle_timeout import IdleTimer
from nodeagent.server.process import ERROR, RESIZE, STDERR, STDIN, STDOUT, ProcessClient, RequestedStreams, decode_size
from runtimes.contract import StreamSession
from runtimes.linux.tasks import end_tasks

_CLOSE_SIGNAL = 255
BINARY = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io")
BASE64 = ("v4.base64.channel.k8s.io", "base64.channel.k8s.io")
PIECE_BYTES = 32 * 1024
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
CLOSE_SECONDS = 30.0


def is_websocket(request: web.Request) -> bool:
    return (
        "upgrade" in request.headers.get("Connection", "").lower()
        and request.headers.get("Upgrade", "").lower() == "websocket"
    )


def offered(request: web.Request) -> list[str]:
    """The subprotocols that a client offers, in its order."""
    values = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [name.strip() for value in values for name in value.split(",")]


def choose(request: web.Request, known: Iterable[str]) -> str | None:
    """The first offered protocol that is known; "" for a client that offers none; None: nothing in common."""
    names = offered(request)
    if not names:
        return ""
    known = frozenset(known)
    return next((name for name in names if name in known), None)


async def accept(request: web.Request, protocol: str) -> web.WebSocketResponse:
    """The handshake."""
    socket = web.WebSocketResponse(
        protocols=(protocol,) if protocol else (),
        max_msg_size=MAX_MESSAGE_BYTES,
        timeout=CLOSE_SECONDS,
        compress=False,
    )
    await socket.prepare(request)
    return socket


class Channels:
    """Numbered channels in one WebSocket: binary messages, or base64 in text."""

    def __init__(self, socket: web.WebSocketResponse, protocol: str, idle: IdleTimer) -> None:
        self._socket = socket
        self._idle = idle
        self._is_base64 = protocol in BASE64

    async def send(self, channel: int, data: bytes) -> None:
        """Returns when the peer takes more: a slow reader slows the process down, not the node's memory."""
        self._idle.touch()
        if self._is_base64:
            await self._socket.send_str(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send_bytes(bytes((channel,)) + data)

    async def receive(self) -> tuple[int, bytes] | None:
        """(channel, data) of the next message; None when the client has gone."""
        while True:
            message = await self._socket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return None
            self._idle.touch()
            if not message.data:
                continue
            if message.type is WSMsgType.BINARY and not self._is_base64:
                return message.data[0], message.data[1:]
            if message.type is WSMsgType.TEXT and self._is_base64:
                with contextlib.suppress(binascii.Error):
                    return ord(message.data[0]) - ord("0"), base64.b64decode(message.data[1:])

    async def close(self, code: int = WSCloseCode.OK) -> None:
        await self._socket.close(code=code)


class WebSocketClient(ProcessClient):
    """One process's client. Without v5, stdin stays open until the socket closes: there is no way to say its end."""

    def __init__(self, socket: web.WebSocketResponse, protocol: str, wanted: RequestedStreams, idle: IdleTimer) -> None:
        self._channels = Channels(socket, protocol, idle)
        self._version = protocol[:2] if protocol[:2] in ("v4", "v5") else "v1"
        self._outputs = [number for number, on in ((STDOUT, wanted.stdout), (STDERR, wanted.stderr)) if on]
        self._wants_stdin = wanted.stdin

    async def greet(self) -> None:
        """An empty message on the lowest channel tells the client that the node is ready."""
        await self._channels.send(min(self._outputs, default=ERROR), b"")

    @override
    async def send(self, stream: int, data: bytes) -> None:
        if stream in self._outputs:
            for start in range(0, len(data), PIECE_BYTES):
                await self._channels.send(stream, data[start : start + PIECE_BYTES])

    @override
    async def finish(self, ending: ExitStatus) -> None:
        if self._version != "v1":
            await self._channels.send(ERROR, ending.document)
        elif ending.text:
            await self._channels.send(ERROR, ending.text.encode())
        await self._channels.close()

    @override
    async def receive(self, session: StreamSession) -> None:
        stdin = ByteQueue()
        writing = asyncio.create_task(_write(stdin, session), name="stream stdin")
        try:
            while (message := await self._channels.receive()) is not None:
                channel, data = message
                if channel == _CLOSE_SIGNAL and self._version == "v5":
                    if data != bytes((STDIN,)):
                        return  # no other channel can be closed by a client
                    await stdin.put(b"")
                elif channel == STDIN and data and self._wants_stdin:
                    await stdin.put(data)
                elif channel == RESIZE and (size := decode_size(data)):
                    await session.resize(*size)
        finally:
            await end_tasks(writing)


async def _write(stdin: ByteQueue, session: StreamSession) -> None:
    while data := await stdin.get():
        await session.write_stdin(data)
    await session.close_stdin()
