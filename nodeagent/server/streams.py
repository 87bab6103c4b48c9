"""The handlers of exec, attach, run and port-forward (facts: api client and server, J.3, N, O, P)."""

import contextlib
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from nodeagent.server import port_websocket, websocket
from nodeagent.server.directory import PodDirectory, Target, container_of, target_of
from nodeagent.server.idle import IdleTimer
from nodeagent.server.port_websocket import TUNNEL_PREFIX, ChannelPorts, TunnelWire
from nodeagent.server.ports import forward_error
from nodeagent.server.process import Wanted, carry
from nodeagent.server.proxy import proxy
from nodeagent.server.spdy import port_forward
from nodeagent.server.spdy import process as spdy_process
from nodeagent.server.spdy.port_forward import SPDYPorts
from nodeagent.server.spdy.process import SPDYClient, StreamsMissing
from nodeagent.server.tasks import end_tasks
from nodeagent.server.upgrade import negotiate, upgrade
from nodeagent.server.websocket import Channels, WebSocketClient
from nodeagent.server.wire import TakenOver, Wire
from proto import cri_pb2 as cri
from runtimes.contract import LocalStreaming, PortConnection, StreamSession

log = logging.getLogger(__name__)

_EXEC_FAILURE = "error executing command in container"
_ATTACH_FAILURE = "error attaching to container"


class StreamHandlers:
    """`idle_seconds`: how long a connection may be silent; 0: for ever."""

    def __init__(self, pods: PodDirectory, idle_seconds: float) -> None:
        self._pods = pods
        self._idle_seconds = idle_seconds

    # -- processes -----------------------------------------------------------------------------------------------------

    async def exec(self, request: web.Request) -> web.StreamResponse:
        target = target_of(request, self._pods)
        if target is None:
            return _no_pod()
        name = request.match_info["container"]
        container_id = target.running_id(name)
        if not container_id:
            return web.Response(status=500, text=f'container not found ("{name}")')
        wanted = Wanted.of(request.query)
        if wanted.nothing:
            return _no_streams()
        message = cri.ExecRequest(
            container_id=container_id,
            cmd=request.query.getall("command", []),
            tty=wanted.tty,
            stdin=wanted.stdin,
            stdout=wanted.stdout,
            stderr=wanted.stderr,
        )
        streaming = target.runtime.streaming
        if streaming is None:
            url = (await target.runtime.service.exec(message)).url
            return await proxy(request, url, self._idle())
        return await self._carry(request, wanted, lambda: streaming.open_exec(message), _EXEC_FAILURE)

    async def attach(self, request: web.Request) -> web.StreamResponse:
        target = target_of(request, self._pods)
        if target is None:
            return _no_pod()
        name = request.match_info["container"]
        container_id = target.running_id(name)
        container = container_of(target.found.pod, name)
        if not container_id or container is None:
            return web.Response(status=500, text=f"container {name} not found in pod {target.name}_{target.namespace}")
        wanted = Wanted.of(request.query)
        if wanted.nothing:
            return _no_streams()
        tty = bool(container.tty)  # what the process has, whatever the client thinks
        message = cri.AttachRequest(
            container_id=container_id,
            tty=tty,
            stdin=wanted.stdin,
            stdout=wanted.stdout,
            stderr=wanted.stderr and not tty,
        )
        streaming = target.runtime.streaming
        if streaming is None:
            url = (await target.runtime.service.attach(message)).url
            return await proxy(request, url, self._idle())
        return await self._carry(request, wanted, lambda: streaming.open_attach(message), _ATTACH_FAILURE)

    async def _carry(
        self, request: web.Request, wanted: Wanted, open_session: Callable[[], Awaitable[StreamSession]], failure: str
    ) -> web.StreamResponse:
        """The handshake in the client's protocol, then the process's streams. What is refused starts no process."""
        idle = self._idle()
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

    async def run(self, request: web.Request) -> web.StreamResponse:
        """A command without streams: its output when it has ended."""
        target = target_of(request, self._pods)
        if target is None:
            return _no_pod()
        name = request.match_info["container"]
        container_id = target.running_id(name)
        if not container_id:
            return web.Response(status=500, text=f'container not found ("{name}")')
        command = request.query.get("cmd", "").split(" ")
        answer = await target.runtime.service.exec_sync(cri.ExecSyncRequest(container_id=container_id, cmd=command))
        if answer.exit_code:
            said = answer.stderr.decode(errors="replace")
            text = f"command '{' '.join(command)}' exited with {answer.exit_code}: {said}"
            return web.Response(status=500, text=text)
        return web.Response(body=answer.stdout + answer.stderr)

    # -- ports ---------------------------------------------------------------------------------------------------------

    async def port_forward(self, request: web.Request) -> web.StreamResponse:
        target = target_of(request, self._pods)
        if target is None:
            info = request.match_info
            known = "uid" in info and self._pods.find(info["namespace"], info["pod"]) is not None
            return web.Response(status=404, text="pod not found") if known else _no_pod()
        streaming = target.runtime.streaming
        if streaming is None:
            message = cri.PortForwardRequest(pod_sandbox_id=await target.sandbox_id())
            message.port.extend(_ports(request) or ())
            url = (await target.runtime.service.port_forward(message)).url
            return await proxy(request, url, self._idle())
        if websocket.is_websocket(request):
            return await self._websocket_ports(request, target, streaming)
        protocol = negotiate(request, (port_forward.PROTOCOL,))
        ports = self._spdy_ports(upgrade(request, protocol), target, streaming)
        await ports.serve()
        return TakenOver()

    async def _websocket_ports(
        self, request: web.Request, target: Target, streaming: LocalStreaming
    ) -> web.StreamResponse:
        tunnels = [name for name in websocket.offered(request) if name.startswith(TUNNEL_PREFIX)]
        if tunnels:
            if TUNNEL_PREFIX + port_forward.PROTOCOL not in tunnels:
                return web.Response(status=400, text="unable to upgrade: no tunneling spdy protocols provided")
            socket = await websocket.accept(request, TUNNEL_PREFIX + port_forward.PROTOCOL)
            try:
                await self._spdy_ports(TunnelWire(socket), target, streaming).serve()
            finally:
                await socket.close(code=1000)
            return socket
        protocol = websocket.choose(request, port_websocket.PROTOCOLS)
        if protocol is None:
            return _no_protocol()
        numbers = _ports(request)
        if numbers is None:
            return web.Response(status=400, text='query parameter "port" is required')
        if not all(0 < number < 65536 for number in numbers):
            return web.Response(status=400, text="port must be between 1 and 65535")
        socket = await websocket.accept(request, protocol)
        idle = self._idle()
        connect, describe = _connecting(target, streaming)
        await ChannelPorts(Channels(socket, protocol, idle), numbers, connect, describe, idle).serve()
        return socket

    def _spdy_ports(self, wire: Wire, target: Target, streaming: LocalStreaming) -> SPDYPorts:
        connect, describe = _connecting(target, streaming)
        return SPDYPorts(wire, connect, describe, self._idle())

    def _idle(self) -> IdleTimer:
        return IdleTimer(self._idle_seconds)


def _connecting(
    target: Target, streaming: LocalStreaming
) -> tuple[Callable[[int], Awaitable[PortConnection]], Callable[[int, str], str]]:
    """(connect to a port of a pod, the text of a failure to)."""

    async def connect(port: int) -> PortConnection:
        return await streaming.open_port(await target.sandbox_id(), port)

    def describe(port: int, cause: str) -> str:
        return forward_error(port, f"{target.name}_{target.namespace}", target.uid, cause)

    return connect, describe


def _ports(request: web.Request) -> list[int] | None:
    """The query's ports: repeated, with commas, or both. None: there are none; 0 for one that is no number."""
    texts = [text for value in request.query.getall("port", []) for text in value.split(",")]
    return [int(text) if text.isascii() and text.isdigit() else 0 for text in texts] or None


def _no_pod() -> web.Response:
    return web.Response(status=404, text="pod does not exist")


def _no_streams() -> web.Response:
    return web.Response(status=400, text="you must specify at least 1 of stdin, stdout, stderr")


def _no_protocol() -> web.Response:
    return web.Response(status=400, text="requested protocol(s) are not supported")
