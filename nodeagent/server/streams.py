"""The handlers of exec, attach, run and port-forward (docs/facts/api-client-and-server.md J.3, N, O, P)."""

from aiohttp import web

from nodeagent.podspec.containers import find_container
from nodeagent.server.pod_lookup import PodLookup, RequestedPod, target_of
from nodeagent.server.ports import forward_error
from nodeagent.server.process import RequestedStreams
from nodeagent.server.proxy import proxy
from nodeagent.server.stream_bridge import ATTACH_FAILURE, EXEC_FAILURE, Ports, StreamBridge
from proto import cri_pb2 as cri
from runtimes.contract import LocalStreaming, PortConnection
from runtimes.kube.whole_number import whole_number


class StreamHandlers:
    """`idle_seconds`: how long a connection may be silent; 0: for ever."""

    def __init__(self, pods: PodLookup, idle_seconds: float) -> None:
        self._pods = pods
        self._carrier = StreamBridge(idle_seconds)

    # -- processes -----------------------------------------------------------------------------------------------------

    async def exec(self, request: web.Request) -> web.StreamResponse:
        target = target_of(request, self._pods)
        if target is None:
            return _no_pod()
        name = request.match_info["container"]
        container_id = target.running_id(name)
        if not container_id:
            return web.Response(status=500, text=f'container not found ("{name}")')
        wanted = RequestedStreams.of(request.query)
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
            return await proxy(request, url, self._carrier.idle())
        return await self._carrier.process(request, wanted, lambda: streaming.open_exec(message), EXEC_FAILURE)

    async def attach(self, request: web.Request) -> web.StreamResponse:
        target = target_of(request, self._pods)
        if target is None:
            return _no_pod()
        name = request.match_info["container"]
        container_id = target.running_id(name)
        declared = find_container(target.found.pod, name)
        if not container_id or declared is None:
            return web.Response(status=500, text=f"container {name} not found in pod {target.name}_{target.namespace}")
        wanted = RequestedStreams.of(request.query)
        if wanted.nothing:
            return _no_streams()
        tty = bool(declared[1].tty)  # what the process has, whatever the client thinks
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
            return await proxy(request, url, self._carrier.idle())
        return await self._carrier.process(request, wanted, lambda: streaming.open_attach(message), ATTACH_FAILURE)

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
            return await proxy(request, url, self._carrier.idle())
        return await self._carrier.ports(request, _ports_of(target, streaming, _ports(request)))


def _ports_of(target: RequestedPod, streaming: LocalStreaming, numbers: list[int] | None) -> Ports:
    async def connect(port: int) -> PortConnection:
        return await streaming.open_port(await target.sandbox_id(), port)

    def describe(port: int, cause: str) -> str:
        return forward_error(port, f"{target.name}_{target.namespace}", target.uid, cause)

    return Ports(connect=connect, describe=describe, numbers=numbers)


def _ports(request: web.Request) -> list[int] | None:
    """The query's ports: repeated, with commas, or both. None: there are none; 0 for one that is no number."""
    texts = [text for value in request.query.getall("port", []) for text in value.split(",")]
    return [whole_number(text) or 0 for text in texts] or None


def _no_pod() -> web.Response:
    return web.Response(status=404, text="pod does not exist")


def _no_streams() -> web.Response:
    return web.Response(status=400, text="you must specify at least 1 of stdin, stdout, stderr")
