"""The node's HTTPS endpoint (facts: api client and server, section J), and the health endpoint on the loopback."""

import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec
from aiohttp import web
from lightkube.models.core_v1 import ContainerStatus, Pod

from nodeagent.pods.manager import PodOnNode
from nodeagent.server import websocket
from nodeagent.server.auth import Denied, Guard
from nodeagent.server.log_reader import LogOptions, parse_time, read_log
from proto import cri_pb2 as cri
from runtimes.contract import StreamSession
from runtimes.errors import NotFound, ResourceExhausted, RuntimeFault
from runtimes.registry import Runtime

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 3.0
_TRUE = ("true", "1")


class PodDirectory(Protocol):
    """The node's pods, as the endpoint looks them up."""

    def pods(self) -> list[PodOnNode]: ...

    def find(self, namespace: str, name: str, uid: str = "") -> PodOnNode | None: ...

    def runtime_of(self, pod: Pod) -> Runtime: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Port 0 of the health endpoint: off. `client_ca` None: no client certificate is accepted."""

    address: str
    port: int
    certificate: Path
    key: Path
    client_ca: Path | None
    health_address: str = "127.0.0.1"
    health_port: int = 10248
    debugging_handlers: bool = True


class NodeServer:
    """Serves until stopped. Every request but those of the health endpoint passes the guard first."""

    def __init__(self, settings: ServerSettings, pods: PodDirectory, guard: Guard, healthy: Callable[[], bool]) -> None:
        self._settings = settings
        self._pods = pods
        self._guard = guard
        self._healthy = healthy
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Raises OSError (port in use, certificate)."""
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(settings.certificate, settings.key)
        if settings.client_ca is not None:
            context.load_verify_locations(settings.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        application = web.Application(middlewares=[self._admission])
        application.add_routes(self._routes())
        await self._listen(application, settings.address, settings.port, context)
        if settings.health_port:
            health = web.Application()
            health.add_routes([web.get("/healthz", self._healthz), web.get("/healthz/{check}", self._healthz)])
            await self._listen(health, settings.health_address, settings.health_port, None)

    async def stop(self) -> None:
        for runner in reversed(self._runners):
            await runner.cleanup()

    async def _listen(self, application: web.Application, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        runner = web.AppRunner(application, handle_signals=False, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, host, port, ssl_context=tls).start()

    def _routes(self) -> list[web.RouteDef]:
        routes = [
            web.get("/healthz", self._healthz),
            web.get("/healthz/{check}", self._healthz),
            web.get("/pods", self._list_pods),
        ]
        debugging = [
            ("GET", "/containerLogs/{namespace}/{pod}/{container}", self._container_logs),
            ("*", "/exec/{namespace}/{pod}/{container}", self._exec),
            ("*", "/exec/{namespace}/{pod}/{uid}/{container}", self._exec),
            ("*", "/attach/{namespace}/{pod}/{container}", self._attach),
            ("*", "/attach/{namespace}/{pod}/{uid}/{container}", self._attach),
            ("POST", "/run/{namespace}/{pod}/{container}", self._run),
            ("POST", "/run/{namespace}/{pod}/{uid}/{container}", self._run),
        ]
        handlers = debugging if self._settings.debugging_handlers else [(m, p, _disabled) for m, p, _ in debugging]
        return [*routes, *(web.route(method, path, handler) for method, path, handler in handlers)]

    @web.middleware
    async def _admission(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            await self._guard.check(request)
            return await handler(request)
        except Denied as denied:
            return web.Response(status=denied.status, text=denied.text)
        except NotFound as error:
            return web.Response(status=404, text=str(error))
        except ResourceExhausted as error:
            return web.Response(status=429, text=str(error), headers={"Retry-After": "60"})
        except RuntimeFault as error:
            return web.Response(status=500, text=str(error))
        except web.HTTPNotFound:
            return web.Response(status=404, text="404: Page Not Found")

    # -- plain answers -------------------------------------------------------------------------------------------------

    async def _healthz(self, request: web.Request) -> web.Response:
        if self._healthy():
            return web.Response(text="ok")
        return web.Response(status=500, text="[-]syncloop failed: reason withheld\nhealthz check failed\n")

    async def _list_pods(self, request: web.Request) -> web.Response:
        items = [msgspec.structs.replace(item.pod, status=item.status) for item in self._pods.pods()]
        body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    # -- logs ----------------------------------------------------------------------------------------------------------

    async def _container_logs(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["container"]
        found = self._pods.find(request.match_info["namespace"], request.match_info["pod"])
        if found is None:
            return web.Response(status=404, text=f'pod "{request.match_info["pod"]}" does not exist')
        if not _has_container(found.pod, name):
            return web.Response(status=404, text=f'container "{name}" not found in pod "{request.match_info["pod"]}"')
        try:
            options = log_options(request)
        except ValueError:
            return web.json_response({"message": "Invalid request."}, status=422)
        previous = request.query.get("previous") in _TRUE
        container_id, problem = log_instance(found, name, previous=previous)
        if problem:
            return web.Response(status=400, text=problem)
        service = self._pods.runtime_of(found.pod).service
        answer = await service.container_status(cri.ContainerStatusRequest(container_id=container_id))
        path = Path(answer.status.log_path)
        if not path.is_file():
            return web.Response(status=400, text=f"failed to open log file {path}: no such file or directory")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)

        async def is_running() -> bool:
            try:
                now = await service.container_status(cri.ContainerStatusRequest(container_id=container_id))
            except NotFound:
                return False
            except RuntimeFault:
                return True  # a runtime that does not answer has not ended the container
            return bool(now.status.state == cri.CONTAINER_RUNNING)

        async for piece in read_log(path, options, is_running):
            await response.write(piece)
        await response.write_eof()
        return response

    # -- streams -------------------------------------------------------------------------------------------------------

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        found = self._find(request)
        if isinstance(found, web.Response):
            return found
        runtime, container_id = found
        if not container_id:
            return web.Response(status=500, text=f'container not found ("{request.match_info["container"]}")')
        wanted = _streams(request)
        if not any(wanted.values()):
            return web.Response(status=400, text="you must specify at least 1 of stdin, stdout, stderr")
        if runtime.streaming is None:
            return web.Response(
                status=501, text=f"runtime {runtime.handler} streams over a URL, which is not supported yet"
            )
        refusal = _upgrade_refusal(request)
        if refusal is not None:
            return refusal
        session = await runtime.streaming.open_exec(
            cri.ExecRequest(
                container_id=container_id,
                cmd=request.query.getall("command", []),
                tty=wanted["tty"],
                stdin=wanted["stdin"],
                stdout=wanted["stdout"],
                stderr=wanted["stderr"],
            )
        )
        return await self._carry(request, session, wanted, "error executing command in container")

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        found = self._find(request)
        if isinstance(found, web.Response):
            return found
        runtime, container_id = found
        name = request.match_info["container"]
        if not container_id:
            where = f"{request.match_info['pod']}_{request.match_info['namespace']}"
            return web.Response(status=500, text=f"container {name} not found in pod {where}")
        wanted = _streams(request)
        if not any(wanted.values()):
            return web.Response(status=400, text="you must specify at least 1 of stdin, stdout, stderr")
        if runtime.streaming is None:
            return web.Response(
                status=501, text=f"runtime {runtime.handler} streams over a URL, which is not supported yet"
            )
        refusal = _upgrade_refusal(request)
        if refusal is not None:
            return refusal
        session = await runtime.streaming.open_attach(
            cri.AttachRequest(
                container_id=container_id,
                tty=wanted["tty"],
                stdin=wanted["stdin"],
                stdout=wanted["stdout"],
                stderr=wanted["stderr"],
            )
        )
        return await self._carry(request, session, wanted, "error attaching to container")

    async def _run(self, request: web.Request) -> web.StreamResponse:
        found = self._find(request)
        if isinstance(found, web.Response):
            return found
        runtime, container_id = found
        if not container_id:
            return web.Response(status=500, text=f'container not found ("{request.match_info["container"]}")')
        command = request.query.get("cmd", "").split(" ")
        answer = await runtime.service.exec_sync(cri.ExecSyncRequest(container_id=container_id, cmd=command))
        return web.Response(body=answer.stdout + answer.stderr)

    async def _carry(
        self, request: web.Request, session: StreamSession, wanted: dict[str, bool], failure: str
    ) -> web.StreamResponse:
        outputs = tuple(
            channel for channel, name in ((websocket.STDOUT, "stdout"), (websocket.STDERR, "stderr")) if wanted[name]
        )
        return await websocket.serve(request, session, outputs=outputs, failure=failure)

    def _find(self, request: web.Request) -> tuple[Runtime, str] | web.Response:
        """The runtime and id of the running container that a request names; an empty id for one that is not there."""
        found = self._pods.find(
            request.match_info["namespace"], request.match_info["pod"], request.match_info.get("uid", "")
        )
        if found is None:
            return web.Response(status=404, text="pod does not exist")
        status = _status_of(found, request.match_info["container"])
        running = status is not None and status.state is not None and status.state.running is not None
        container_id = (status.containerID or "").rpartition("://")[2] if status is not None and running else ""
        return self._pods.runtime_of(found.pod), container_id


async def _disabled(request: web.Request) -> web.StreamResponse:
    return web.Response(status=405, text="Debug endpoints are disabled.")


def log_options(request: web.Request) -> LogOptions:
    """Raises ValueError."""
    query = request.query
    tail = query.get("tailLines", query.get("tail", ""))
    tail_lines = None if tail in ("", "all") else int(tail)
    limit_bytes = int(query["limitBytes"]) if "limitBytes" in query else None
    since: datetime | None = None
    if "sinceSeconds" in query:
        seconds = int(query["sinceSeconds"])
        if seconds < 1 or "sinceTime" in query:
            raise ValueError("sinceSeconds")
        since = datetime.now(UTC) - timedelta(seconds=seconds)
    elif "sinceTime" in query:
        since = parse_time(query["sinceTime"])
        if since is None:
            raise ValueError("sinceTime")
    if (tail_lines is not None and tail_lines < 0) or (limit_bytes is not None and limit_bytes < 1):
        raise ValueError("out of range")
    return LogOptions(
        follow=query.get("follow") in _TRUE and query.get("previous") not in _TRUE,
        timestamps=query.get("timestamps") in _TRUE,
        tail_lines=tail_lines,
        since=since,
        limit_bytes=limit_bytes,
    )


def log_instance(found: PodOnNode, name: str, *, previous: bool) -> tuple[str, str]:
    """(container id, "") of the run whose log is meant, or ("", why there is none) (facts: K.2)."""
    status = _status_of(found, name)
    where = f'container "{name}" in pod "{found.pod.metadata.name if found.pod.metadata else ""}"'
    if status is None:
        return "", f"{where} is not available"
    last = status.lastState.terminated if status.lastState is not None else None
    if previous:
        if last is None or not last.containerID:
            return "", f"previous terminated {where} not found"
        return _bare(last.containerID), ""
    state = status.state
    if state is not None and state.running is not None:
        return _bare(status.containerID or ""), ""
    if state is not None and state.terminated is not None:
        if state.terminated.containerID:
            return _bare(state.terminated.containerID), ""
        return (_bare(last.containerID), "") if last and last.containerID else ("", f"{where} is terminated")
    if last is not None and last.containerID:
        return _bare(last.containerID), ""
    reason = (state.waiting.reason if state is not None and state.waiting is not None else "") or ""
    told = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
    return "", f"{where} is waiting to start: {told.get(reason, reason)}"


def _streams(request: web.Request) -> dict[str, bool]:
    names = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
    wanted = {name: request.query.get(key) == "1" for name, key in names.items()}
    if wanted["tty"]:
        wanted["stderr"] = False  # a terminal has one output
    return wanted


def _upgrade_refusal(request: web.Request) -> web.Response | None:
    """The answer to a client that does not speak WebSocket, or none of its protocols; kubectl then tries another way."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return web.Response(
            status=400, text="unable to upgrade: only WebSocket is supported by this version of the node"
        )
    if websocket.choose_protocol(request) is None:
        return web.Response(status=400, text="requested protocol(s) are not supported")
    return None


def _has_container(pod: Pod, name: str) -> bool:
    assert pod.spec is not None
    lists = (pod.spec.containers, pod.spec.initContainers or (), pod.spec.ephemeralContainers or ())
    return any(container.name == name for containers in lists for container in containers)


def _status_of(found: PodOnNode, name: str) -> ContainerStatus | None:
    status = found.status
    if status is None:
        return None
    lists = (status.containerStatuses, status.initContainerStatuses, status.ephemeralContainerStatuses)
    return next((item for items in lists for item in items or () if item.name == name), None)


def _bare(container_id: str) -> str:
    return container_id.rpartition("://")[2]
