"""The exec and grpc probes: docs/facts/pod-lifecycle.md 7.3."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import msgspec
import pytest
from google.protobuf.message import DecodeError
from lightkube.models.core_v1 import Container, EnvVar, Probe

from nodeagent.probes.exec import MAX_COMMAND_BYTES, expand_command, probe_exec
from nodeagent.probes.grpc import probe_grpc
from nodeagent.probes.outcome import Outcome, ProbeError, Verdict, failure, success
from nodeagent.probes.run import ProbeTarget, run_probe
from proto import cri_pb2 as cri
from proto.health_pb2 import HealthCheckRequest, HealthCheckResponse
from runtimes.errors import NotFound, Timeout


class Execs:
    """A runtime that knows ExecSync only, and answers what it was given."""

    def __init__(self, answer: cri.ExecSyncResponse | Exception) -> None:
        self.answer = answer
        self.requests: list[cri.ExecSyncRequest] = []

    async def exec_sync(self, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def answered(exit_code: int, stdout: bytes = b"", stderr: bytes = b"") -> cri.ExecSyncResponse:
    return cri.ExecSyncResponse(exit_code=exit_code, stdout=stdout, stderr=stderr)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answered(0, b"fine"), success("fine")),
        (answered(3, b"out ", b"err"), failure("out err")),
        (answered(1, b"x" * 20_000), failure("x" * 10_240)),
        (Timeout("deadline"), failure('command timed out: "cat /ok" timed out after 2s')),
    ],
)
async def test_exec(answer: Any, expected: Outcome) -> None:
    """7.3: exit 0 succeeds; else stdout then stderr, cut at 10 KiB; a timeout fails with the command."""
    runtime: Any = Execs(answer)
    assert await probe_exec(runtime, "c1", ["cat", "/ok"], timeout_seconds=2) == expected
    assert runtime.requests == [cri.ExecSyncRequest(container_id="c1", cmd=["cat", "/ok"], timeout=2)]


async def test_other_exec_errors_are_errors() -> None:
    """7.3: retried, not counted."""
    runtime: Any = Execs(NotFound("no such container"))
    with pytest.raises(ProbeError, match="no such container"):
        await probe_exec(runtime, "c1", ["x"], timeout_seconds=1)


def test_command_expansion() -> None:
    """7.3: `$(VAR)` expanded from literal env values only; `$$` escapes; unknown ones stay."""
    env = [EnvVar(name="A", value="1"), EnvVar(name="B", valueFrom=msgspec.UNSET)]
    command = ["x$(A)y", "$(B)", "$(C)", "$$(A)", "$A", "$(A", "$(A)$(A)"]
    assert expand_command(command, env) == ["x1y", "$(B)", "$(C)", "$(A)", "$A", "$(A", "11"]


@pytest.mark.parametrize("command", [["$(A)" * 3], ["$(A)"] * 3, ["x" * MAX_COMMAND_BYTES + "x"]])
async def test_a_command_that_would_be_too_large_is_a_failure(command: list[str]) -> None:
    """It is not made, the runtime is not asked, and the container counts as failing, as when it could not be run."""
    runtime: Any = Execs(answered(0))
    container = Container(name="a", env=[EnvVar(name="A", value="x" * 1_000_000)])
    target = ProbeTarget(container=container, container_id="c1", pod_ip="", runtime=runtime)
    probe = msgspec.convert({"exec": {"command": command}}, Probe)
    outcome = await run_probe(probe, target)
    assert (outcome.verdict, runtime.requests) == (Verdict.FAILURE, [])
    assert "bytes when its variables are put in" in outcome.output


async def test_run_probe_hands_the_specification_on() -> None:
    """7.1, 7.3: the timeout's default is 1 s, the environment is the container's."""
    runtime: Any = Execs(answered(0))
    container = Container(name="a", env=[EnvVar(name="A", value="1")])
    target = ProbeTarget(container=container, container_id="c1", pod_ip="", runtime=runtime)
    probe = msgspec.convert({"exec": {"command": ["echo", "$(A)"]}}, Probe)
    assert await run_probe(probe, target) == success()
    assert runtime.requests == [cri.ExecSyncRequest(container_id="c1", cmd=["echo", "1"], timeout=1)]


async def test_run_probe_reaches_the_pods_ip_and_named_ports(serve: Any) -> None:
    """7.3: host default is the pod's IP; a named port is the containerPort of that container."""
    server = await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    container = msgspec.convert({"name": "a", "ports": [{"name": "web", "containerPort": server.port}]}, Container)
    runtime: Any = None
    target = ProbeTarget(container=container, container_id="c1", pod_ip="127.0.0.1", runtime=runtime)
    http = msgspec.convert({"httpGet": {"port": "web", "httpHeaders": [{"name": "X", "value": "1"}]}}, Probe)
    tcp = msgspec.convert({"tcpSocket": {"port": server.port, "host": "localhost"}}, Probe)
    assert [await run_probe(probe, target) for probe in (http, tcp)] == [success(), success()]
    assert b"X: 1\r\n" in server.requests[0]
    with pytest.raises(ProbeError, match="missing probe handler"):
        await run_probe(Probe(), target)


# -- grpc --------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def health() -> AsyncIterator[Callable[..., Any]]:
    """health(behaviour): a gRPC server on the loopback; None: it does not know the health service."""
    servers: list[grpc.aio.Server] = []

    async def start(behaviour: Any) -> tuple[int, list[tuple[bytes, str]]]:
        seen: list[tuple[bytes, str]] = []

        async def check(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            agents = [value for key, value in context.invocation_metadata() or () if key == "user-agent"]
            seen.append((request, str(agents[0])))
            answer: bytes = await behaviour(context)
            return answer

        server = grpc.aio.server()
        if behaviour is not None:
            handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        return port, seen

    yield start
    for server in servers:
        await server.stop(None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"\x08\x01", success("service healthy")),
        (b"\x08\x02", failure('service unhealthy (responded with "NOT_SERVING")')),
        (b"", failure('service unhealthy (responded with "UNKNOWN")')),
        (b"\x08\x09", failure('service unhealthy (responded with "9")')),
    ],
)
async def test_grpc_answers(health: Any, answer: bytes, expected: Outcome) -> None:
    """7.3: SERVING succeeds; user agent kube-probe; the service's name goes along."""

    async def behave(context: Any) -> bytes:
        return answer

    port, seen = await health(behave)
    assert await probe_grpc("127.0.0.1", port, "db", timeout_seconds=5) == expected
    ((request, agent),) = seen
    assert request == b"\x0a\x02db"
    assert agent.startswith("kube-probe/1.36 ")


async def test_grpc_failures(health: Any) -> None:
    """7.3: each message; never an error."""

    async def hang(context: Any) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def refuse(context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b""

    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        nobody = server.sockets[0].getsockname()[1]
    (unimplemented, _), (hanging, _), (refusing, _) = await health(None), await health(hang), await health(refuse)
    found = [
        (await probe_grpc("127.0.0.1", port, "", timeout_seconds=seconds)).output
        for port, seconds in ((nobody, 0.1), (unimplemented, 5), (hanging, 1), (refusing, 5))
    ]
    assert found == [
        f'timeout: failed to connect service "127.0.0.1:{nobody}" within 100ms: context deadline exceeded',
        "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): Method not found!",
        "timeout: health rpc did not complete within 1s",
        "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service",
    ]


def test_the_two_messages() -> None:
    """grpc.health.v1: service is field 1, status is field 1; unknown fields are skipped."""
    made = [HealthCheckRequest(service=name).SerializeToString() for name in ("", "a", "x" * 200)]
    assert made == [b"", b"\x0a\x01a", b"\x0a\xc8\x01" + b"x" * 200]
    read = HealthCheckResponse.FromString
    assert [read(raw).status for raw in (b"", b"\x08\x01", b"\x12\x02ab\x08\x03", b"\x18\x96\x01")] == [0, 1, 3, 0]
    with pytest.raises(DecodeError):
        read(b"\x08")
