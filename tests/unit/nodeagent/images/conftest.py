"""An image service by the script of a test, a clock that the test moves, and a sink that remembers events."""

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import Pod, Secret
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Events:
    def __init__(self) -> None:
        self.seen: list[tuple[str, ...]] = []

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.seen.append((type, reason, message, field_path))

    def take(self) -> list[tuple[str, ...]]:
        seen, self.seen = self.seen, []
        return [event[:3] for event in seen]


class Service:
    """Pulls answer from `answers` (an error to raise, or None), in order; then they succeed."""

    def __init__(self, clock: Clock) -> None:
        self.images: dict[str, cri.Image] = {}
        self.answers: list[RuntimeFault | None] = []
        self.status_error: RuntimeFault | None = None
        self.requests: list[cri.PullImageRequest] = []
        self.running = 0
        self.most_running = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._clock = clock

    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        if self.status_error is not None:
            raise self.status_error
        found = self.images.get(request.image.image)
        return cri.ImageStatusResponse(image=found) if found is not None else cri.ImageStatusResponse()

    async def pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse:
        self.requests.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
            self._clock.now += 1.25
            answer = self.answers.pop(0) if self.answers else None
            if answer is not None:
                raise answer
        finally:
            self.running -= 1
        image = cri.Image(id=f"sha256:{request.image.image}", size=42)
        self.images |= {request.image.image: image, image.id: image}
        return cri.PullImageResponse(image_ref=image.id)

    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
        return cri.ListImagesResponse(images={image.id: image for image in self.images.values()}.values())

    async def remove_image(self, request: cri.RemoveImageRequest) -> cri.RemoveImageResponse:
        self.images = {name: image for name, image in self.images.items() if image.id != request.image.image}
        return cri.RemoveImageResponse()

    async def image_fs_info(self, request: cri.ImageFsInfoRequest) -> cri.ImageFsInfoResponse:
        return cri.ImageFsInfoResponse()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
async def service(clock: Clock) -> Service:
    return Service(clock)


@pytest.fixture
def make_pod() -> Callable[..., AgentPod]:
    def make(uid: str = "u1", **metadata: Any) -> AgentPod:
        return agent_pod(Pod(metadata=ObjectMeta(name="p", namespace="ns", uid=uid, **metadata)))

    return make


@pytest.fixture
def make_secret() -> Callable[..., Secret]:
    """make_secret({registry: "user:password"}, name=…) -> a dockerconfigjson secret."""

    def make(logins: dict[str, str], name: str = "s", uid: str = "su", old: bool = False) -> Secret:
        auths = {key: {"auth": base64.b64encode(login.encode()).decode()} for key, login in logins.items()}
        kind, key, document = (
            ("kubernetes.io/dockercfg", ".dockercfg", auths)
            if old
            else ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", {"auths": auths})
        )
        data = base64.b64encode(json.dumps(document).encode()).decode()
        return Secret(metadata=ObjectMeta(name=name, namespace="ns", uid=uid), type=kind, data={key: data})

    return make


@pytest.fixture
def logins() -> Callable[[Sequence[cri.PullImageRequest]], list[str]]:
    def show(requests: Sequence[cri.PullImageRequest]) -> list[str]:
        return [f"{r.auth.username}:{r.auth.password}" if r.HasField("auth") else "" for r in requests]

    return show
