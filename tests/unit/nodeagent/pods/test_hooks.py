"""nodeagent.pods.hooks: postStart and preStop against real servers on the loopback (docs/facts/pod-lifecycle.md 8)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from agent_pods import agent_pod
from aiohttp import web
from lightkube.models.core_v1 import (
    Container,
    ContainerPort,
    ExecAction,
    HTTPGetAction,
    HTTPHeader,
    LifecycleHandler,
    Pod,
    PodSpec,
    SleepAction,
    TCPSocketAction,
)
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.pods.hooks import HookError, LifecycleHooks
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault, Unavailable

CONTAINER = Container(name="c", ports=[ContainerPort(containerPort=1, name="web")])
POD = agent_pod(Pod(metadata=ObjectMeta(name="p", namespace="default", uid="u1"), spec=PodSpec(containers=[CONTAINER])))
WHERE = 'for Container "c" in Pod "p_default(u1)" failed'


class Service:
    """A runtime that answers an exec as told, and knows one sandbox of the pod, or none."""

    def __init__(self, answer: cri.ExecSyncResponse | RuntimeFault | None = None, ip: str = "") -> None:
        self.answer = answer
        self.ip = ip
        self.asked: list[cri.ExecSyncRequest] = []

    async def exec_sync(self, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse:
        self.asked.append(request)
        if isinstance(self.answer, RuntimeFault):
            raise self.answer
        assert self.answer is not None
        return self.answer

    async def list_pod_sandbox(self, request: Any) -> cri.ListPodSandboxResponse:
        return cri.ListPodSandboxResponse(items=[cri.PodSandbox(id="s1")] if self.ip else [])

    async def pod_sandbox_status(self, request: Any) -> cri.PodSandboxStatusResponse:
        network = cri.PodSandboxNetworkStatus(ip=self.ip)
        return cri.PodSandboxStatusResponse(status=cri.PodSandboxStatus(id="s1", network=network))

    async def list_containers(self, request: Any) -> cri.ListContainersResponse:
        return cri.ListContainersResponse()


class Runtime:
    def __init__(self, service: Service) -> None:
        self.service = service


class Told:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.events.append((type, reason, message))


async def run(handler: LifecycleHandler, service: Service | None = None, told: Told | None = None) -> None:
    hooks = LifecycleHooks(told or Told())
    await hooks.run(POD, CONTAINER, "id1", handler, Runtime(service or Service()))  # type: ignore[arg-type]


@pytest.fixture
async def server() -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """server(handler): a plain HTTP server's port."""
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.Response]]) -> int:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        return port

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_exec_goes_to_the_runtime_without_a_deadline_and_unexpanded() -> None:
    """Arguments reach the runtime as they are written, $(VAR) too; the runtime is given no timeout."""
    service = Service(cri.ExecSyncResponse(exit_code=0))
    await run(LifecycleHandler(exec=ExecAction(command=["echo", "$(HOME)"])), service)
    assert service.asked == [cri.ExecSyncRequest(container_id="id1", cmd=["echo", "$(HOME)"], timeout=0)]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            cri.ExecSyncResponse(exit_code=3, stdout=b'say "a"\n', stderr=b"it's b"),
            "error: command 'sh -c x' exited with 3: it's b, message: " + r'"say \"a\"\nit' + "'s b\"",
        ),
        (Unavailable("no answer"), 'error: no answer, message: ""'),
    ],
)
async def test_exec_that_fails(answer: Any, error: str) -> None:
    """The message has the command, the runtime's error, and both outputs quoted as Go quotes them."""
    with pytest.raises(HookError) as caught:
        await run(LifecycleHandler(exec=ExecAction(command=["sh", "-c", "x"])), Service(answer))
    assert str(caught.value) == f"Exec lifecycle hook ([sh -c x]) {WHERE} - {error}"


@pytest.mark.parametrize("code", [200, 404, 500])
async def test_any_http_answer_is_a_success(server: Any, code: int) -> None:
    """The hook's own agent name, the headers of the spec, the path and a port by its name at the pod's live IP."""
    seen: list[tuple[str, str, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.path_qs, request.headers["User-Agent"], request.headers.get("X-Own")))
        return web.Response(status=code)

    port = await server(answer)
    header = HTTPHeader(name="X-Own", value="v")
    handler = LifecycleHandler(httpGet=HTTPGetAction(port=port, path="/a?b=c", httpHeaders=[header]))
    await run(handler, Service(ip="127.0.0.1"))
    assert seen == [("/a?b=c", "kube-lifecycle/1.36", "v")]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/a b?c d=\u00fc", "/a%20b?c d=\u00fc"),
        ("/a%2F#x", "/a%2F"),
        ("", "/"),
        ("x", "/x"),
        ("/%zz", "/%25zz"),
    ],
)
async def test_paths_are_escaped(path: str, asked: str) -> None:
    """As a probe's, which is as Go's; and the agent says that it takes a compressed answer."""
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await run(LifecycleHandler(httpGet=HTTPGetAction(port=port, host="127.0.0.1", path=path)))
    lines = seen[0].decode().split("\r\n")
    assert lines[:2] == [f"GET {asked} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    assert "Accept-Encoding: gzip" in lines


async def test_nobody_listens() -> None:
    """A transport error fails the hook; so does a pod without an address, and a port that has no such name."""
    with pytest.raises(HookError) as caught:
        await run(LifecycleHandler(httpGet=HTTPGetAction(port="web", host="127.0.0.1", path="/x")))
    assert str(caught.value).startswith(f"HTTP lifecycle hook (/x) {WHERE} - error: ")
    with pytest.raises(HookError) as caught:
        await run(LifecycleHandler(httpGet=HTTPGetAction(port=1, path="/x")))
    assert str(caught.value) == (
        f"HTTP lifecycle hook (/x) {WHERE} - error: failed to find networking container: p_default(u1)"
    )
    with pytest.raises(HookError) as caught:
        await run(LifecycleHandler(httpGet=HTTPGetAction(port="no", host="127.0.0.1", path="/x")))
    assert 'strconv.Atoi: parsing "no": invalid syntax' in str(caught.value)


async def test_https_against_a_plain_server(server: Any) -> None:
    """The request is made again in the clear, without what only TLS was to see; an event tells."""
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response()

    port = await server(answer)
    told = Told()
    header = HTTPHeader(name="Authorization", value="secret")
    action = HTTPGetAction(port=port, host="127.0.0.1", scheme="HTTPS", path="/", httpHeaders=[header])
    await run(LifecycleHandler(httpGet=action), told=told)
    assert seen == [None]
    text = f"request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
    assert told.events == [("Warning", "LifecycleHTTPFallback", text)]


async def test_sleep_and_what_is_no_hook() -> None:
    """No seconds are allowed; a TCP socket is not a hook."""
    await run(LifecycleHandler(sleep=SleepAction(seconds=0)))
    with pytest.raises(HookError, match="Cannot run handler: invalid handler: "):
        await run(LifecycleHandler(tcpSocket=TCPSocketAction(port=1)))
