"""Port-forward over WebSocket: two channels a port, and the tunnel that carries SPDY.

Source: docs/facts/api-client-and-server.md P.3 (channels) and P.2 (tunnel).
"""

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import WSMsgType, web

from nodeagent.server.byte_queue import ByteQueue
from nodeagent.server.idle_timeout import IdleTimer
from nodeagent.server.ports import carry_port
from nodeagent.server.websocket import PIECE_BYTES, Channels
from runtimes.contract import PortConnection
from runtimes.errors import RuntimeFault
from runtimes.linux.tasks import end_tasks

PROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
TUNNEL_PREFIX = "SPDY/3.1+"
_HIGH_BYTES = 256 * 1024


class ChannelPort:
    """One port: data on the even channel, errors on the odd one after it."""

    def __init__(self, channels: Channels, number: int) -> None:
        self._channels = channels
        self.data_channel = 2 * number
        self.error_channel = self.data_channel + 1
        self.received = ByteQueue()

    async def read(self) -> bytes:
        return await self.received.get()

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            await self._channels.send(self.data_channel, data[start : start + PIECE_BYTES])

    async def close_write(self) -> None:
        await self.received.put(b"")  # one channel cannot be closed: the end of the pod's side ends the port

    async def gone(self) -> None:
        """A channel cannot be reset: the client goes with its whole connection."""
        await asyncio.get_running_loop().create_future()


class ChannelPorts:
    """One client's session over the ports that it named."""

    def __init__(
        self,
        channels: Channels,
        ports: Sequence[int],
        connect: Callable[[int], Awaitable[PortConnection]],
        describe: Callable[[int, str], str],
        idle: IdleTimer,
    ) -> None:
        self._channels = channels
        self._numbers = ports
        self._ports = [ChannelPort(channels, number) for number in range(len(ports))]
        self._connect = connect
        self._describe = describe
        self._idle = idle

    async def serve(self) -> None:
        """Serve until all ports have ended, the client goes, or nothing has happened for too long."""
        for port, number in zip(self._ports, self._numbers, strict=True):
            for channel in (port.data_channel, port.error_channel):
                await self._channels.send(channel, struct.pack("<H", number))
        receiving = asyncio.create_task(self._receive(), name="ports input")
        waiting = asyncio.create_task(self._idle.expired(), name="ports idle")
        carrying = asyncio.create_task(self._carry_all(), name="ports")
        try:
            await asyncio.wait({receiving, waiting, carrying}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(receiving, waiting, carrying, then=self._channels.close)

    async def _receive(self) -> None:
        while (message := await self._channels.receive()) is not None:
            channel, data = message
            if data and channel % 2 == 0 and 0 <= channel < 2 * len(self._ports):
                await self._ports[channel // 2].received.put(data)

    async def _carry_all(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for port, number in zip(self._ports, self._numbers, strict=True):
                tasks.create_task(self._carry(port, number))

    async def _carry(self, port: ChannelPort, number: int) -> None:
        try:
            await carry_port(port, lambda: self._connect(number))
        except RuntimeFault as error:
            with contextlib.suppress(ConnectionResetError):
                await self._channels.send(port.error_channel, self._describe(number, error.message).encode())


class TunnelWire:
    """A Wire inside a WebSocket: binary messages with arbitrary boundaries."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._pending = bytearray()
        self._written = asyncio.Event()
        self._taken = asyncio.Event()
        self._taken.set()
        self._sending = asyncio.create_task(self._send(), name="tunnel output")

    async def read(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY and message.data:
                data: bytes = message.data
                return data
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return b""

    def write(self, data: bytes) -> None:
        self._pending += data
        self._written.set()
        if len(self._pending) > _HIGH_BYTES:
            self._taken.clear()

    @property
    def pending_bytes(self) -> int:
        return len(self._pending)

    async def drain(self) -> None:
        await self._taken.wait()
        if self._sending.done():
            raise ConnectionResetError("the client has gone")

    async def finish(self) -> None:
        while self._pending and not self._sending.done():
            self._taken.clear()
            await self._taken.wait()
        self.abort()
        await self._socket.close(code=1000)

    def abort(self) -> None:
        self._sending.cancel()

    async def _send(self) -> None:
        try:
            while True:
                await self._written.wait()
                self._written.clear()
                while self._pending:
                    piece = bytes(self._pending[:PIECE_BYTES])
                    await self._socket.send_bytes(piece)
                    del self._pending[: len(piece)]
                self._taken.set()
        except ConnectionResetError:
            pass
        finally:
            self._taken.set()
