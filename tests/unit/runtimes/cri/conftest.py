"""A small real gRPC server on a unix socket: what it answers, and what it holds, is the test's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from proto import containerd_events_pb2 as containerd
from proto import cri_pb2 as cri

Answer = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]
Stream = Callable[[Any, grpc.aio.ServicerContext], AsyncIterator[Any]]
OPTIONS = (("grpc.max_send_message_length", -1),)


def _data(message: Any) -> bytes:
    return bytes(message.SerializeToString())


@contextlib.asynccontextmanager
async def serve(
    socket: Path,
    answers: Mapping[str, Answer],
    *,
    events: Stream | None = None,
    containerd_events: Stream | None = None,
) -> AsyncIterator[grpc.aio.Server]:
    """Those methods of RuntimeService, and event streams where they are given: of the CRI, of containerd's own service."""
    runtime: dict[str, grpc.RpcMethodHandler] = {
        name: grpc.unary_unary_rpc_method_handler(answer, getattr(cri, f"{name}Request").FromString, _data)
        for name, answer in answers.items()
    }
    if events is not None:
        parse = cri.GetEventsRequest.FromString
        runtime["GetContainerEvents"] = grpc.unary_stream_rpc_method_handler(events, parse, _data)
    own: dict[str, grpc.RpcMethodHandler] = {}
    if containerd_events is not None:
        parse_filters = containerd.SubscribeRequest.FromString
        own["Subscribe"] = grpc.unary_stream_rpc_method_handler(containerd_events, parse_filters, _data)
    server = grpc.aio.server(options=OPTIONS)
    services = {"runtime.v1.RuntimeService": runtime, "containerd.services.events.v1.Events": own}
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items() if methods)
    )
    server.add_insecure_port(f"unix://{socket}")
    await server.start()
    try:
        yield server
    finally:
        await server.stop(None)


class Held:
    """What a peer holds: sandboxes and containers, to be changed by the test. `looked` counts the listings."""

    def __init__(self) -> None:
        self.sandboxes: dict[str, cri.PodSandboxStatus] = {}
        self.containers: dict[str, tuple[str, cri.ContainerStatus]] = {}
        self.looked = 0
        self._looking = asyncio.Event()

    async def looks(self, count: int) -> None:
        """Until that many more listings were taken."""
        wanted = self.looked + count
        while self.looked < wanted:
            self._looking.clear()
            await self._looking.wait()

    def sandbox(self, sandbox_id: str, uid: str = "u") -> None:
        metadata = cri.PodSandboxMetadata(uid=uid)
        self.sandboxes[sandbox_id] = cri.PodSandboxStatus(id=sandbox_id, metadata=metadata, state=cri.SANDBOX_READY)

    def container(self, container_id: str, sandbox_id: str, state: "cri.ContainerState", **fields: Any) -> None:
        self.containers[container_id] = sandbox_id, cri.ContainerStatus(id=container_id, state=state, **fields)

    def answers(self) -> dict[str, Answer]:
        return {
            "ListPodSandbox": self._list_sandboxes,
            "ListContainers": self._list_containers,
            "PodSandboxStatus": self._sandbox_status,
            "ContainerStatus": self._container_status,
        }

    async def _list_sandboxes(self, _request: Any, _context: Any) -> cri.ListPodSandboxResponse:
        self.looked += 1
        self._looking.set()
        items = [cri.PodSandbox(id=s.id, metadata=s.metadata, state=s.state) for s in self.sandboxes.values()]
        return cri.ListPodSandboxResponse(items=items)

    async def _list_containers(self, request: cri.ListContainersRequest, _context: Any) -> cri.ListContainersResponse:
        wanted = request.filter.pod_sandbox_id
        return cri.ListContainersResponse(
            containers=[
                cri.Container(id=status.id, pod_sandbox_id=sandbox_id, state=status.state)
                for sandbox_id, status in self.containers.values()
                if wanted in ("", sandbox_id)
            ]
        )

    async def _sandbox_status(
        self, request: cri.PodSandboxStatusRequest, context: grpc.aio.ServicerContext
    ) -> cri.PodSandboxStatusResponse:
        if request.pod_sandbox_id not in self.sandboxes:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such sandbox")
        return cri.PodSandboxStatusResponse(status=self.sandboxes[request.pod_sandbox_id])

    async def _container_status(
        self, request: cri.ContainerStatusRequest, context: grpc.aio.ServicerContext
    ) -> cri.ContainerStatusResponse:
        if request.container_id not in self.containers:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such container")
        return cri.ContainerStatusResponse(status=self.containers[request.container_id][1])


@pytest.fixture
def peer() -> Callable[..., contextlib.AbstractAsyncContextManager[grpc.aio.Server]]:
    return serve


@pytest.fixture
def held() -> Held:
    return Held()
