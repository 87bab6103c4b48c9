"""Calls over a real socket, with a peer that answers what the test tells it to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
import grpc.aio
import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.cri.endpoint import Endpoint
from runtimes.cri.factory import cri_runtime
from runtimes.deadlines import exec_deadline, no_deadline, stop_deadline

Answer = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]


@contextlib.asynccontextmanager
async def peer(
    socket: Path, *, streams: Mapping[str, Any] = MappingProxyType({}), **answers: Answer
) -> AsyncIterator[grpc.aio.Server]:
    """A CRI server with those methods of RuntimeService only."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=getattr(cri, f"{name}Request").FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for name, answer in answers.items()
    }
    for name, stream in streams.items():
        handlers[name] = grpc.unary_stream_rpc_method_handler(
            stream,
            request_deserializer=getattr(cri, f"{name}Request").FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("runtime.v1.RuntimeService", handlers),))
    server.add_insecure_port(f"unix://{socket}")
    await server.start()
    yield server
    await server.stop(None)


def failing(code: grpc.StatusCode) -> Answer:
    async def answer(_request: Any, context: grpc.aio.ServicerContext) -> Any:
        await context.abort(code, "its words")

    return answer


def runtime(socket: Path) -> Any:
    return cri_runtime("containerd", {"endpoint": f"unix://{socket}", "handler": "runc"})


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidArgument),
        (grpc.StatusCode.UNIMPLEMENTED, errors.NotSupported),
        (grpc.StatusCode.NOT_FOUND, errors.NotFound),
        (grpc.StatusCode.ALREADY_EXISTS, errors.AlreadyExists),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.WrongState),
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.Timeout),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.ResourceExhausted),
        (grpc.StatusCode.INTERNAL, errors.Internal),
        (grpc.StatusCode.UNKNOWN, errors.RuntimeFault),
        (grpc.StatusCode.PERMISSION_DENIED, errors.RuntimeFault),
    ],
)
async def test_a_status_code_is_a_class(
    tmp_path: Path, code: grpc.StatusCode, expected: type[errors.RuntimeFault]
) -> None:
    """Each gRPC code is raised as the class that carries it, with the peer's words."""
    async with peer(tmp_path / "s", Version=failing(code)):
        made = runtime(tmp_path / "s")
        with pytest.raises(errors.RuntimeFault) as caught:
            await made.service.version(cri.VersionRequest())
        await made.lifecycle.stop()
    assert (type(caught.value), caught.value.message) == (expected, "its words")


async def test_the_peers_handler_is_named(tmp_path: Path) -> None:
    """A sandbox without a handler gets the configured one; the caller's message stays as it is."""
    seen: list[cri.RunPodSandboxRequest] = []

    async def answer(request: cri.RunPodSandboxRequest, _context: Any) -> cri.RunPodSandboxResponse:
        seen.append(request)
        return cri.RunPodSandboxResponse(pod_sandbox_id="s")

    request = cri.RunPodSandboxRequest()
    async with peer(tmp_path / "s", RunPodSandbox=answer):
        made = runtime(tmp_path / "s")
        found = await made.service.run_pod_sandbox(request)
        await made.lifecycle.stop()
    assert (found.pod_sandbox_id, [item.runtime_handler for item in seen]) == ("s", ["runc"])
    assert request == cri.RunPodSandboxRequest()


async def test_a_peer_that_comes_later_is_found(tmp_path: Path) -> None:
    """Starting without a socket is no error; calls are Unavailable until the peer is there, and then work by themselves."""

    async def answer(_request: Any, _context: Any) -> cri.VersionResponse:
        return cri.VersionResponse(runtime_name="late")

    made = runtime(tmp_path / "s")
    await made.lifecycle.start()
    with pytest.raises(errors.Unavailable):
        await made.service.version(cri.VersionRequest())
    async with peer(tmp_path / "s", Version=answer):
        found = None
        while found is None:
            with contextlib.suppress(errors.Unavailable):
                found = await made.service.version(cri.VersionRequest())
            await asyncio.sleep(0)
        await made.lifecycle.stop()
    assert found.runtime_name == "late"


async def test_a_cancelled_call_is_cancelled_at_the_peer(tmp_path: Path) -> None:
    """Who gives a call up ends it on the other side too; a call has no life of its own."""
    entered, ended = asyncio.Event(), asyncio.Event()

    async def answer(_request: Any, _context: Any) -> cri.VersionResponse:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with peer(tmp_path / "s", Version=answer):
        made = runtime(tmp_path / "s")
        call = asyncio.create_task(made.service.version(cri.VersionRequest()))
        await entered.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await ended.wait()
        await made.lifecycle.stop()


def test_every_call_has_its_deadline() -> None:
    """The kubelet's: stop has the grace period on top, exec the command's time, none for a command without; a pull has none."""
    assert stop_deadline(cri.StopContainerRequest(timeout=30)) == 150
    assert exec_deadline(cri.ExecSyncRequest(timeout=5)) == 125
    assert exec_deadline(cri.ExecSyncRequest()) is None
    assert no_deadline(cri.PullImageRequest()) is None


@pytest.mark.parametrize("address", ["", "tcp://127.0.0.1:1", "/run/containerd.sock", "unix://relative"])
def test_only_unix_sockets(address: str) -> None:
    """Anything else is a mistake in the configuration, which is named."""
    with pytest.raises(ValueError, match="endpoint"):
        Endpoint(address)


@pytest.mark.parametrize("larger_than", ["the client takes", "the server sends"])
async def test_a_list_that_is_too_large(tmp_path: Path, larger_than: str) -> None:
    """It is asked for again in pieces, with the same filter; all of it arrives, in order."""
    many = [cri.Container(id=str(number), labels={"long": "x" * 5000}) for number in range(4000)]
    asked: list[str] = []

    async def whole(_request: Any, context: grpc.aio.ServicerContext) -> cri.ListContainersResponse:
        if larger_than == "the server sends":
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "trying to send message larger than max")
        return cri.ListContainersResponse(containers=many)

    async def pieces(
        request: cri.StreamContainersRequest, _context: Any
    ) -> AsyncIterator[cri.StreamContainersResponse]:
        asked.append(request.filter.pod_sandbox_id)
        for start in range(0, len(many), 1000):
            yield cri.StreamContainersResponse(containers=many[start : start + 1000])

    async with peer(tmp_path / "s", streams={"StreamContainers": pieces}, ListContainers=whole):
        made = runtime(tmp_path / "s")
        wanted = cri.ListContainersRequest(filter=cri.ContainerFilter(pod_sandbox_id="s"))
        found = await made.service.list_containers(wanted)
        await made.lifecycle.stop()
    assert ([item.id for item in found.containers], asked) == ([str(number) for number in range(4000)], ["s"])


async def test_a_peer_without_streamed_lists(tmp_path: Path) -> None:
    """Its first word counts."""
    async with peer(tmp_path / "s", ListContainers=failing(grpc.StatusCode.RESOURCE_EXHAUSTED)):
        made = runtime(tmp_path / "s")
        with pytest.raises(errors.ResourceExhausted, match="its words"):
            await made.service.list_containers(cri.ListContainersRequest())
        await made.lifecycle.stop()
