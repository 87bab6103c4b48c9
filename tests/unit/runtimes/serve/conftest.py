"""Runtimes that remember what they are asked, served on a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from proto import cri_pb2 as cri
from proto.cri_pb2_grpc import ImageServiceStub, RuntimeServiceStub
from runtimes import errors
from runtimes.registry import Runtime, RuntimeRegistry
from runtimes.serve.server import CRIServer
from runtimes.serve.streams import StreamingURLs


class ScriptedRuntime:
    """Knows the containers `<handler>-c…` and the sandbox `<handler>-s`; every other verb is recorded and answered empty."""

    def __init__(self, handler: str) -> None:
        self.handler = handler
        self.calls: list[tuple[str, Any]] = []
        self.fault: Exception | None = None
        self.conditions = {"RuntimeReady": "", "NetworkReady": ""}
        self.events_queue: asyncio.Queue[Any] = asyncio.Queue()
        self.listening = 0
        self.container_state = cri.CONTAINER_RUNNING

    def __getattr__(self, verb: str) -> Any:
        name = "".join(part.capitalize() for part in verb.split("_"))
        answer = getattr(cri, f"{name}Response", None)
        if answer is None:
            raise AttributeError(verb)

        async def call(request: Any) -> Any:
            self.calls.append((verb, request))
            if self.fault is not None:
                raise self.fault
            return answer()

        return call

    async def container_status(self, request: cri.ContainerStatusRequest) -> cri.ContainerStatusResponse:
        if isinstance(self.fault, errors.Unavailable):
            raise self.fault
        if not f"{self.handler}-c1".startswith(request.container_id) or not request.container_id:
            raise errors.NotFound(f"no container {request.container_id!r}")
        status = cri.ContainerStatus(id=f"{self.handler}-c1", state=self.container_state)
        return cri.ContainerStatusResponse(status=status)

    async def pod_sandbox_status(self, request: cri.PodSandboxStatusRequest) -> cri.PodSandboxStatusResponse:
        if request.pod_sandbox_id != f"{self.handler}-s":
            raise errors.NotFound(f"no sandbox {request.pod_sandbox_id!r}")
        return cri.PodSandboxStatusResponse(status=cri.PodSandboxStatus(id=f"{self.handler}-s"))

    async def list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
        if self.fault is not None:
            raise self.fault
        containers = [cri.Container(id=f"{self.handler}-c{number}") for number in range(120)]
        return cri.ListContainersResponse(containers=containers)

    async def run_pod_sandbox(self, request: cri.RunPodSandboxRequest) -> cri.RunPodSandboxResponse:
        self.calls.append(("run_pod_sandbox", request.runtime_handler))
        return cri.RunPodSandboxResponse(pod_sandbox_id=f"{self.handler}-s")

    async def status(self, request: cri.StatusRequest) -> cri.StatusResponse:
        if self.fault is not None:
            raise self.fault
        answer = cri.StatusResponse(features=cri.RuntimeFeatures(supplemental_groups_policy=True))
        for kind, trouble in self.conditions.items():
            answer.status.conditions.add(
                type=kind, status=not trouble, reason="Broken" if trouble else "", message=trouble
            )
        answer.runtime_handlers.add(
            name=f"own-{self.handler}", features=cri.RuntimeHandlerFeatures(user_namespaces=self.handler == "b")
        )
        return answer

    def events(self) -> AsyncIterator[Any]:
        if self.fault is not None:
            raise self.fault
        return self._events()

    async def _events(self) -> AsyncIterator[Any]:
        self.listening += 1
        while True:
            event = await self.events_queue.get()
            if isinstance(event, Exception):
                raise event
            yield event


class ScriptedImages:
    """One store with those images."""

    def __init__(self, *images: str) -> None:
        self.images = list(images)
        self.calls: list[tuple[str, str]] = []

    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
        return cri.ListImagesResponse(images=[cri.Image(id=name) for name in self.images])

    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        known = request.image.image in self.images
        return cri.ImageStatusResponse(image=cri.Image(id=request.image.image) if known else None)

    async def pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse:
        self.calls.append(("pull", request.image.image))
        return cri.PullImageResponse(image_ref=request.image.image)

    async def remove_image(self, request: cri.RemoveImageRequest) -> cri.RemoveImageResponse:
        self.calls.append(("remove", request.image.image))
        return cri.RemoveImageResponse()

    async def image_fs_info(self, request: cri.ImageFsInfoRequest) -> cri.ImageFsInfoResponse:
        return cri.ImageFsInfoResponse(image_filesystems=[cri.FilesystemUsage(timestamp=len(self.images))])


class URLs(StreamingURLs):
    """Says which runtime's stream is wanted."""

    def exec_url(self, streaming: Any, request: cri.ExecRequest) -> str:
        return f"http://exec/{streaming}/{request.container_id}"

    def attach_url(self, streaming: Any, request: cri.AttachRequest) -> str:
        return f"http://attach/{streaming}/{request.container_id}"

    def port_forward_url(self, streaming: Any, request: cri.PortForwardRequest) -> str:
        return f"http://ports/{streaming}/{request.pod_sandbox_id}"


class Setup:
    """A server over the runtimes a (the default) and b, which have a store each; `urls` of b's streams are its own."""

    def __init__(self, socket: Path, *, denial: str | None = None) -> None:
        self.a, self.b = ScriptedRuntime("a"), ScriptedRuntime("b")
        self.images_a, self.images_b = ScriptedImages("both", "one"), ScriptedImages("both", "two")
        made = {
            handler: Runtime(
                handler=handler,
                service=service,
                images=images,
                lifecycle=SimpleNamespace(),  # type: ignore[arg-type]
                streaming=streaming,
                cri_handler=f"own-{handler}",
                display_name=handler,
            )
            for handler, service, images, streaming in (
                ("b", self.b, self.images_b, None),
                ("a", self.a, self.images_a, "a"),
            )
        }
        self.server = CRIServer(socket, RuntimeRegistry(made, "a"), streams=URLs(), version="1.2.3", denial=denial)


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Any]:
    """`async with serve() as (setup, runtime stub, image stub)`."""

    @contextlib.asynccontextmanager
    async def serving(**options: Any) -> AsyncIterator[tuple[Setup, Any, Any]]:
        setup = Setup(tmp_path / "cri.sock", **options)
        await setup.server.start()
        channel_options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        async with grpc.aio.insecure_channel(f"unix://{tmp_path}/cri.sock", options=channel_options) as channel:
            yield setup, RuntimeServiceStub(channel), ImageServiceStub(channel)
        await setup.server.stop()

    return serving


@pytest.fixture
def refused() -> Callable[[Any], Any]:
    """(code, details) of a call that must fail."""

    async def refuse(call: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return caught.value.code(), caught.value.details() or ""

    return refuse
