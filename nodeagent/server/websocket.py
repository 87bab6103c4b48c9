"""exec and attach over WebSocket: the channel protocols (facts: api client and server, section O)."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import WSMsgType, web

from runtimes.contract import StreamSession
from runtimes.errors import RuntimeFault

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE = 255
_BINARY = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io")
_BASE64 = ("v4.base64.channel.k8s.io", "base64.channel.k8s.io")
_PIECE_BYTES = 32 * 1024
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024


class Channels:
    """One WebSocket that carries the streams of one process."""

    def __init__(self, socket: web.WebSocketResponse, protocol: str) -> None:
        self._socket = socket
        self._protocol = protocol

    @property
    def _is_base64(self) -> bool:
        return self._protocol in _BASE64

    @property
    def _tells_status(self) -> bool:
        """v4 and later end with a Status object; before that channel 3 carries plain text, and nothing on success."""
        return self._protocol.startswith(("v4", "v5"))

    async def send(self, channel: int, data: bytes) -> None:
        """Returns when the peer takes more: a slow reader slows the process down, not the node's memory."""
        if self._is_base64:
            await self._socket.send_str(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send_bytes(bytes([channel]) + data)

    async def finish(self, status: dict[str, Any], text: str) -> None:
        """Tell how it ended, then close."""
        if self._tells_status:
            await self.send(ERROR, json.dumps(status).encode())
        elif text:
            await self.send(ERROR, text.encode())
        await self._socket.close(code=1000)

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """(channel, data) from the peer; (CLOSE, channel) for a half close (v5)."""
        async for message in self._socket:
            if message.type is WSMsgType.BINARY and not self._is_base64:
                data = message.data
            elif message.type is WSMsgType.TEXT and self._is_base64 and message.data:
                data = bytes([ord(message.data[0]) - ord("0")]) + base64.b64decode(message.data[1:])
            else:
                continue
            if len(data) >= 2 and data[0] == CLOSE and self._protocol.startswith("v5"):
                yield CLOSE, data[1:2]
            elif len(data) > 1:
                yield data[0], data[1:]


def choose_protocol(request: web.Request) -> str | None:
    """The first offered protocol that is known; empty for a client that offers none; None: nothing in common."""
    offered = [
        name.strip() for value in request.headers.getall("Sec-WebSocket-Protocol", []) for name in value.split(",")
    ]
    if not offered:
        return ""
    return next((name for name in offered if name in (*_BINARY, *_BASE64)), None)


async def serve(
    request: web.Request, session: StreamSession, *, outputs: tuple[int, ...], failure: str
) -> web.WebSocketResponse:
    """Carry a process's streams until it ends or the client goes. `failure`: how the error text begins."""
    protocol = choose_protocol(request)
    socket = web.WebSocketResponse(
        protocols=(protocol,) if protocol else (), max_msg_size=_MAX_MESSAGE_BYTES, timeout=5.0, autoping=True
    )
    await socket.prepare(request)
    channels = Channels(socket, protocol or "channel.k8s.io")
    await channels.send(min(outputs, default=ERROR), b"")
    receiving = asyncio.create_task(_receive(channels, session))
    sending = asyncio.create_task(_send(channels, session))
    try:
        await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done() and not socket.closed:
            await asyncio.wait({sending})  # the client has said all it will, and still listens
        if sending.done():
            await channels.finish(*_ending(sending, failure))
    except ConnectionResetError:
        pass  # the client went away while it was told
    finally:
        for task in (receiving, sending):
            task.cancel()
        await asyncio.gather(receiving, sending, return_exceptions=True)
        await session.close()
        if not socket.closed:
            await socket.close(code=1000)
    return socket


async def _send(channels: Channels, session: StreamSession) -> int:
    """The process's output to its end, then its exit code."""
    async for stream, data in session.output():
        for start in range(0, len(data), _PIECE_BYTES):
            await channels.send(stream, data[start : start + _PIECE_BYTES])
    return await session.wait()


async def _receive(channels: Channels, session: StreamSession) -> None:
    async for channel, data in channels.messages():
        if channel == STDIN:
            await session.write_stdin(data)
        elif channel == CLOSE and data == bytes([STDIN]):
            await session.close_stdin()
        elif channel == RESIZE:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                size = json.loads(data)
                await session.resize(int(size["Width"]), int(size["Height"]))


def _ending(sending: "asyncio.Task[int]", failure: str) -> tuple[dict[str, Any], str]:
    """(Status, plain text) of how a process ended."""
    error = sending.exception()
    if error is not None:
        if not isinstance(error, RuntimeFault):
            raise error
        return internal_error(f"{failure}: {error}", str(error)), f"{failure}: {error}"
    return exit_status(sending.result())


def exit_status(code: int) -> tuple[dict[str, Any], str]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}, ""
    text = f"command terminated with non-zero exit code: exit status {code}"
    cause = {"reason": "ExitCode", "message": str(code)}
    status = {
        "metadata": {},
        "status": "Failure",
        "message": text,
        "reason": "NonZeroExitCode",
        "details": {"causes": [cause]},
    }
    return status, text


def internal_error(text: str, cause: str) -> dict[str, Any]:
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {text}",
        "reason": "InternalError",
        "details": {"causes": [{"message": cause}]},
        "code": 500,
    }
