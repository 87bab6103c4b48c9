"""Bridge a process's streams, or a pod's ports, to a client in the protocol that its request asks for.

Source: docs/facts/api-client-and-server.md N, O, P.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from nodeagent.server import port_websocket, websocket
from nodeagent.server.idle_timeout import IdleTimer
from nodeagent.server.port_websocket import TUNNEL_PREFIX, ChannelPorts, TunnelWire
from nodeagent.server.process import RequestedStreams, carry
from nodeagent.server.spdy import port_forward
from nodeagent.server.spdy import process as spdy_process
from nodeagent.server.spdy.port_forward import SPDYPorts
from nodeagent.server.spdy.process import SPDYClient, StreamsMissing
from nodeagent.server.upgrade import negotiate, upgrade
from nodeagent.server.websocket import Channels, WebSocketClient
from nodeagent.server.wire import TakenOver, Wire
from runtimes.contract import PortConnection, StreamSession
from runtimes.linux.tasks import end_tasks

log = logging.getLogger(__name__)

EXEC_FAILURE = "error executing command in container"
ATTACH_FAILURE = "error attaching to container"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """A pod's ports: how to connect to one, the text of a failure to, and those that the request names (0: no port)."""

    connect: Callable[[int], Awaitable[PortConnection]]
    describe: Callable[[int, str], str]
    numbers: Sequence[int] | None


class StreamBridge:
    """`idle_seconds`: how long a connection may be silent; 0: for ever."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds

    def idle(self) -> IdleTimer:
        return IdleTimer(self._idle_seconds)

    async def process(
        self,
        request: web.Request,
        wanted: RequestedStreams,
        open_session: Callable[[], Awaitable[StreamSession]],
        failure: str,
    ) -> web.StreamResponse:
        """The handshake in the client's protocol, then the process's streams. What is refused starts no process."""
        idle = self.idle()
        if websocket.is_websocket(request):
            protocol = websocket.choose(request, (*websocket.BINARY, *websocket.BASE64))
            if protocol is None:
                return _no_protocol()
            session = await open_session()
            try:
                socket = await websocket.accept(request, protocol)
                client = WebSocketClient(socket, protocol, wanted, idle)
                await client.greet()
                await carry(client, session, failure=failure, idle=idle)
            finally:
                await end_tasks(then=session.close)
            return socket
        chosen = negotiate(request, spdy_process.PROTOCOLS)
        session = await open_session()
        try:
            async with contextlib.aclosing(SPDYClient(upgrade(request, chosen), chosen, wanted, idle)) as spdy:
                await spdy.open()
                await carry(spdy, session, failure=failure, idle=idle)
        except StreamsMissing as error:
            log.info("%s: %s", request.path, error)
        finally:
            await end_tasks(then=session.close)
        return TakenOver()

    async def ports(self, request: web.Request, ports: Ports) -> web.StreamResponse:
        if websocket.is_websocket(request):
            return await self._websocket_ports(request, ports)
        protocol = negotiate(request, (port_forward.PROTOCOL,))
        await self._spdy_ports(upgrade(request, protocol), ports).serve()
        return TakenOver()

    async def _websocket_ports(self, request: web.Request, ports: Ports) -> web.StreamResponse:
        tunnels = [name for name in websocket.offered(request) if name.startswith(TUNNEL_PREFIX)]
        if tunnels:
            if TUNNEL_PREFIX + port_forward.PROTOCOL not in tunnels:
                return web.Response(status=400, text="unable to upgrade: no tunneling spdy protocols provided")
            socket = await websocket.accept(request, TUNNEL_PREFIX + port_forward.PROTOCOL)
            try:
                await self._spdy_ports(TunnelWire(socket), ports).serve()
            finally:
                await socket.close(code=1000)
            return socket
        protocol = websocket.choose(request, port_websocket.PROTOCOLS)
        if protocol is None:
            return _no_protocol()
        if ports.numbers is None:
            return web.Response(status=400, text='query parameter "port" is required')
        if not all(0 < number < 65536 for number in ports.numbers):
            return web.Response(status=400, text="port must be between 1 and 65535")
        socket = await websocket.accept(request, protocol)
        idle = self.idle()
        channels = Channels(socket, protocol, idle)
        await ChannelPorts(channels, ports.numbers, ports.connect, ports.describe, idle).serve()
        return socket

    def _spdy_ports(self, wire: Wire, ports: Ports) -> SPDYPorts:
        return SPDYPorts(wire, ports.connect, ports.describe, self.idle())


def _no_protocol() -> web.Response:
    return web.Response(status=400, text="requested protocol(s) are not supported")
