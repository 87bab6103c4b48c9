"""The streaming server of a CRI endpoint: Exec, Attach and PortForward answer its URLs, one for each request.

Plain HTTP on the loopback, as with containerd and CRI-O: whoever may ask for a URL may use it, once, within a minute; nobody
can guess one.
"""

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from typing_extensions import override

from nodeagent.server.connections import Connections
from nodeagent.server.ports import forward_error
from nodeagent.server.process import RequestedStreams
from nodeagent.server.stream_bridge import ATTACH_FAILURE, EXEC_FAILURE, Ports, StreamBridge
from nodeagent.server.upgrade import Refused
from proto import cri_pb2 as cri
from runtimes.contract import LocalStreaming, PortConnection
from runtimes.errors import NotFound, ResourceExhausted, RuntimeFault
from runtimes.serve.streams import StreamingURLs

ADDRESS = "127.0.0.1"
TOKEN_SECONDS = 60.0
MAX_TOKENS = 1000
IDLE_SECONDS = 4 * 3600.0
_SHUTDOWN_SECONDS = 3.0

_Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """What a URL is good for, and until when (by the server's clock)."""

    serve: _Serve
    expires: float


class CRIStreams(StreamingURLs):
    """`clock`: monotonic seconds. `start` before the first URL, `stop` ends all streams."""

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._carrier = StreamBridge(idle_seconds)
        self._clock = clock
        self._grants: dict[str, _Grant] = {}
        self._connections = Connections()
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self) -> None:
        """Raises OSError."""
        application = web.Application()
        application.add_routes([web.route(method, "/{kind}/{token}", self._enter) for method in ("GET", "POST")])
        self._runner = web.AppRunner(
            application,
            handle_signals=False,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            handler_cancellation=True,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, ADDRESS, 0).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Repeatable. Containers go on; processes of an exec end with their stream."""
        self._grants.clear()
        await self._connections.end_all()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    # -- URLs ----------------------------------------------------------------------------------------------------------

    @override
    def exec_url(self, streaming: LocalStreaming, request: cri.ExecRequest) -> str:
        async def serve(http: web.Request) -> web.StreamResponse:
            return await self._carrier.process(
                http, _wanted(request), lambda: streaming.open_exec(request), EXEC_FAILURE
            )

        return self._grant("exec", serve)

    @override
    def attach_url(self, streaming: LocalStreaming, request: cri.AttachRequest) -> str:
        async def serve(http: web.Request) -> web.StreamResponse:
            return await self._carrier.process(
                http, _wanted(request), lambda: streaming.open_attach(request), ATTACH_FAILURE
            )

        return self._grant("attach", serve)

    @override
    def port_forward_url(self, streaming: LocalStreaming, request: cri.PortForwardRequest) -> str:
        sandbox_id = request.pod_sandbox_id

        async def connect(port: int) -> PortConnection:
            return await streaming.open_port(sandbox_id, port)

        def describe(port: int, cause: str) -> str:
            return forward_error(port, sandbox_id, "", cause)

        ports = Ports(connect=connect, describe=describe, numbers=list(request.port) or None)
        return self._grant("portforward", lambda http: self._carrier.ports(http, ports))

    def _grant(self, kind: str, serve: _Serve) -> str:
        now = self._clock()
        for key in [key for key, grant in self._grants.items() if grant.expires <= now]:
            del self._grants[key]
        if len(self._grants) >= MAX_TOKENS:
            raise ResourceExhausted(f"{MAX_TOKENS} streaming requests wait for their clients; try again later")
        key = f"{kind}/{secrets.token_urlsafe(16)}"
        self._grants[key] = _Grant(serve=serve, expires=now + TOKEN_SECONDS)
        return f"http://{ADDRESS}:{self._port}/{key}"

    # -- requests ------------------------------------------------------------------------------------------------------

    async def _enter(self, http: web.Request) -> web.StreamResponse:
        grant = self._grants.pop(f"{http.match_info['kind']}/{http.match_info['token']}", None)
        if grant is None or grant.expires <= self._clock():
            return web.Response(status=404, text="no such stream: its URL is good for one use, within a minute")
        with self._connections.entered():
            try:
                return await grant.serve(http)
            except Refused as refused:
                return refused.response
            except NotFound as error:
                return web.Response(status=404, text=str(error))
            except RuntimeFault as error:
                return web.Response(status=500, text=str(error))


def _wanted(request: cri.ExecRequest | cri.AttachRequest) -> RequestedStreams:
    """A terminal has one output, so its stderr is dropped."""
    return RequestedStreams(
        stdin=request.stdin, stdout=request.stdout, stderr=request.stderr and not request.tty, tty=request.tty
    )
