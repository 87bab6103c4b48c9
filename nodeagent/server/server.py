"""The node's HTTPS endpoint (docs/facts/api-client-and-server.md J), and the health endpoint on the loopback."""

import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aiohttp import web

from nodeagent.server import health, profiles
from nodeagent.server.auth import Denied, Guard
from nodeagent.server.bounded_site import BoundedSite
from nodeagent.server.configz import Configz
from nodeagent.server.connections import Connections
from nodeagent.server.container_logs import LogHandlers
from nodeagent.server.health import NO_CHECKS, CheckObserver, HealthHandlers
from nodeagent.server.journal import Journal
from nodeagent.server.pod_lists import PodListHandlers
from nodeagent.server.pod_lookup import PodLookup
from nodeagent.server.streams import StreamHandlers
from nodeagent.server.system import SystemHandlers
from nodeagent.server.tls import ServerTLS
from nodeagent.server.upgrade import Refused
from nodeagent.tls_policy import TLSPolicy
from runtimes.errors import NotFound, ResourceExhausted, RuntimeFault

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 3.0
KEEPALIVE_SECONDS = 90.0
MAX_HEADER_BYTES = 1024 * 1024
_RETRY_AFTER_SECONDS = "60"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RequestObserver(Protocol):
    """Counts requests, by the template of their path; `secure`: at the HTTPS endpoint. Holds while one is under way."""

    def __call__(self, method: str, path: str, *, secure: bool) -> AbstractContextManager[None]: ...


def unobserved(method: str, path: str, *, secure: bool) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


class Routes(Protocol):
    """A part of the endpoint that brings its own paths (statistics and metrics)."""

    def routes(self) -> list[web.RouteDef]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Port 0 of the health endpoint: off. `client_ca` None: no client certificate is accepted. `certificate_awaited`: it may come
    later; until then nobody can connect.

    `streaming_idle_seconds`: how long an exec, attach or port-forward may be silent; 0: for ever. `pod_logs_dir`: the folder of
    all pods' logs, `logs_dir`: of the node's. `log_query`: the logs of the node's services can be asked for, `split_log_streams`:
    one of a container's two streams. `read_only_port`: plain HTTP for everybody, without what enters pods; 0: off.
    """

    address: str
    port: int
    certificate: Path
    key: Path
    client_ca: Path | None
    certificate_awaited: bool = False
    tls: TLSPolicy = field(default_factory=TLSPolicy)
    health_address: str = "127.0.0.1"
    health_port: int = 10248
    debugging_handlers: bool = True
    streaming_idle_seconds: float = 4 * 3600.0
    pod_logs_dir: Path | None = None
    read_only_port: int = 0
    system_logs: bool = True
    profiling: bool = True
    debug_flags: bool = True
    logs_dir: Path = Path("/var/log")
    log_query: bool = False
    split_log_streams: bool = False


class NodeServer:
    """Serves until stopped. Every request but those of the health endpoint passes the guard first.

    `healthy`: whether the pod engine is moving. `parts`: further paths. `configz`: the effective configuration to show.
    `pages`: others that say how the process was set up. `debug`: pages that go with the debugging handlers. `checks`: more of
    /healthz, by name; `observe_check` hears how all came out, `observe` of every request that has a path here.
    """

    def __init__(
        self,
        settings: ServerSettings,
        pods: PodLookup,
        guard: Guard,
        healthy: Callable[[], bool],
        *,
        parts: tuple[Routes, ...] = (),
        configz: Callable[[], object] | None = None,
        pages: tuple[Routes, ...] = (),
        debug: tuple[Routes, ...] = (),
        checks: Mapping[str, Callable[[], bool]] = NO_CHECKS,
        observe: RequestObserver = unobserved,
        observe_check: CheckObserver = health.unobserved,
    ) -> None:
        self._settings = settings
        self._observe = observe
        self._guard = guard
        self._parts = parts
        # what says how the node is set up, and is for those alone who may ask
        self._own_pages = (*((Configz(configz),) if configz is not None else ()), *pages)
        self._debug_pages = debug
        self._connections = Connections()
        self._health = HealthHandlers(healthy, checks, observe_check)
        self._lists = PodListHandlers(pods)
        self._logs = LogHandlers(pods, settings.pod_logs_dir, split_streams=settings.split_log_streams)
        self._streams = StreamHandlers(pods, settings.streaming_idle_seconds)
        self._system = SystemHandlers(settings.logs_dir, Journal() if settings.log_query else None)
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Raises OSError (port in use, certificate)."""
        settings = self._settings
        tls = ServerTLS(
            settings.certificate,
            settings.key,
            settings.client_ca,
            settings.tls,
            awaited=settings.certificate_awaited,
        )
        application = web.Application(middlewares=[self._observed, self._admission])
        application.add_routes(self._routes())
        await self._listen(application, settings.address, settings.port, tls.context)
        if settings.read_only_port:
            read_only = web.Application(middlewares=[self._observed, self._answers])
            read_only.add_routes(self._read_only_routes())
            await self._listen(read_only, settings.address, settings.read_only_port, None)
        if settings.health_port:
            health = web.Application()
            health.add_routes(self._health.routes())
            await self._listen(health, settings.health_address, settings.health_port, None)

    async def stop(self) -> None:
        """End every connection, then free the ports. No pod is touched."""
        await self._connections.end_all()
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._runners.clear()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """(host, port) of each listener: the endpoint first, then health."""
        return [address[:2] for runner in self._runners for address in runner.addresses]

    async def _listen(self, application: web.Application, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        runner = web.AppRunner(
            application,
            handle_signals=False,
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            keepalive_timeout=KEEPALIVE_SECONDS,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            handler_cancellation=True,  # a client that goes takes its request's work with it
        )
        await runner.setup()
        self._runners.append(runner)
        await BoundedSite(runner, host, port, tls=tls).start()

    def _routes(self) -> list[web.RouteDef]:
        lists, streams = self._lists, self._streams
        routes = [*self._open_routes(), *(route for page in self._own_pages for route in page.routes())]
        debugging: list[tuple[str, str, Handler]] = [
            ("GET", "/runningpods", lists.running_pods),
            ("GET", "/runningpods/", lists.running_pods),
            ("GET", "/containerLogs/{namespace}/{pod}/{container}", self._logs.logs),
        ]
        for method in ("GET", "POST"):
            for uid in ("", "/{uid}"):
                debugging += [
                    (method, f"/exec/{{namespace}}/{{pod}}{uid}/{{container}}", streams.exec),
                    (method, f"/attach/{{namespace}}/{{pod}}{uid}/{{container}}", streams.attach),
                    (method, f"/portForward/{{namespace}}/{{pod}}{uid}", streams.port_forward),
                ]
        debugging += [("POST", f"/run/{{namespace}}/{{pod}}{uid}/{{container}}", streams.run) for uid in ("", "/{uid}")]
        if not self._settings.debugging_handlers:
            return [*routes, *_switched_off()]
        return [
            *routes,
            *(web.route(method, path, handler) for method, path, handler in debugging),
            *(route for page in self._debug_pages for route in page.routes()),
            *self._system_routes(),
        ]

    def _open_routes(self) -> list[web.RouteDef]:
        """What shows, and enters nothing."""
        return [
            *self._health.routes(),
            *(route for part in self._parts for route in part.routes()),
            web.get("/pods", self._lists.pods),
            web.get("/pods/", self._lists.pods),
        ]

    def _read_only_routes(self) -> list[web.RouteDef]:
        return [*self._open_routes(), *_switched_off()]

    def _system_routes(self) -> list[web.RouteDef]:
        settings, system = self._settings, self._system
        logs = system.logs if settings.system_logs else _refuse("logs endpoint is disabled.")
        flags = system.set_verbosity if settings.debug_flags else _refuse("flags endpoint is disabled.")
        refused = [web.route("*", f"{profiles.PATH}{{tail:(/.*)?}}", _refuse("profiling endpoint is disabled."))]
        return [
            web.get("/logs", logs),
            web.get("/logs/{path:.*}", logs),
            web.put("/debug/flags/v", flags),
            *(profiles.Profiles().routes() if settings.profiling else refused),
        ]

    @web.middleware
    async def _observed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is None:  # a path of the asker's own making would be a label for good
            return await handler(request)
        with self._observe(request.method, resource.canonical, secure=request.secure):
            return await handler(request)

    @web.middleware
    async def _admission(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        with self._connections.entered():
            try:
                await self._guard.check(request)
            except Denied as denied:
                return web.Response(status=denied.status, text=denied.text)
            return await self._answers(request, handler)

    @web.middleware
    async def _answers(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Errors as answers."""
        with self._connections.entered():
            try:
                return await handler(request)
            except Refused as refused:
                return refused.response
            except NotFound as error:
                return web.Response(status=404, text=str(error))
            except ResourceExhausted as error:
                headers = {"Retry-After": _RETRY_AFTER_SECONDS}
                return web.Response(status=429, text=str(error), headers=headers)
            except RuntimeFault as error:
                return web.Response(status=500, text=str(error))
            except web.HTTPNotFound:
                return web.Response(status=404, text="404: Page Not Found")
            except web.HTTPMethodNotAllowed as error:
                return web.Response(
                    status=405, text="405: Method Not Allowed", headers={"Allow": error.headers["Allow"]}
                )


_DEBUGGING_PATHS = ("/run", "/exec", "/attach", "/portForward", "/containerLogs", "/runningpods", "/debug", "/logs")


def _switched_off() -> list[web.RouteDef]:
    refusal = _refuse("Debug endpoints are disabled.")
    return [web.route("*", f"{path}{{tail:(/.*)?}}", refusal) for path in _DEBUGGING_PATHS]


def _refuse(text: str) -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=405, text=text)

    return refuse
