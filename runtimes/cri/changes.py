"""Events of a CRI endpoint: from the peer where it tells them, else by comparing lists when something may have changed.

Three ways, the best that the peer has: GetContainerEvents (CRI-O, containerd 1.7 and later); containerd's own events
service, whose messages say when to look; looking now and then. Looking is two list calls, 100 ms apart while something
changes and up to 1 s apart while nothing does.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Protocol

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.cri.endpoint import Endpoint
from runtimes.cri.listing import Change, Listing

log = logging.getLogger(__name__)

_CRI_EVENTS = "/runtime.v1.RuntimeService/GetContainerEvents"
_CONTAINERD_EVENTS = "/containerd.services.events.v1.Events/Subscribe"
# SubscribeRequest: filters, field 1, one a line that must match. Sandboxes are tasks too; exec'd processes are left out.
_FILTERS = (
    'namespace==k8s.io,topic~="^/tasks/(create|start|exit|oom)$"',
    'namespace==k8s.io,topic~="^/containers/(create|delete)$"',
)
SHORTEST_SECONDS = 0.1
LONGEST_SECONDS = 1.0
# With a peer that says when to look: what CRI shows follows within milliseconds; and a net for what was never told.
TOLD_SHORTEST_SECONDS = 0.01
TOLD_LONGEST_SECONDS = 10.0


class Lists(Protocol):
    """The calls that looking takes."""

    @property
    def list_pod_sandbox(self) -> Callable[[cri.ListPodSandboxRequest], Awaitable[cri.ListPodSandboxResponse]]: ...

    @property
    def list_containers(self) -> Callable[[cri.ListContainersRequest], Awaitable[cri.ListContainersResponse]]: ...

    @property
    def pod_sandbox_status(
        self,
    ) -> Callable[[cri.PodSandboxStatusRequest], Awaitable[cri.PodSandboxStatusResponse]]: ...

    @property
    def container_status(self) -> Callable[[cri.ContainerStatusRequest], Awaitable[cri.ContainerStatusResponse]]: ...


class Changes:
    """One listener's events. Nothing is kept for it but the last listing."""

    def __init__(self, endpoint: Endpoint, lists: Lists) -> None:
        self._endpoint = endpoint
        self._lists = lists
        self._hint = asyncio.Event()
        self._told = False
        self._broken: errors.RuntimeFault | None = None

    async def follow(self) -> AsyncGenerator[cri.ContainerEventResponse, None]:
        """Events from now on; ends with Unavailable, or the fault that the peer answers a list with."""
        with contextlib.suppress(errors.NotSupported):
            stream = self._endpoint.stream(_CRI_EVENTS, b"", cri.ContainerEventResponse.FromString)
            async for event in stream:
                yield event
        hints = asyncio.create_task(self._listen(), name=f"hints of {self._endpoint.address}")
        try:
            async for event in self._relist():
                yield event
        finally:
            hints.cancel()
            await asyncio.gather(hints, return_exceptions=True)

    async def _listen(self) -> None:
        """Set the hint at every message of containerd's events service, while there is one."""
        request = b"".join(b"\x0a" + bytes([len(text)]) + text.encode() for text in _FILTERS)
        self._told = True
        try:
            async for _ in self._endpoint.stream(_CONTAINERD_EVENTS, request, len):
                self._hint.set()
        except errors.NotSupported:
            self._told = False
        except errors.RuntimeFault as error:
            self._broken = error
        self._hint.set()

    async def _relist(self) -> AsyncIterator[cri.ContainerEventResponse]:
        before = await self._look()
        pause_seconds = SHORTEST_SECONDS
        while True:
            await self._wait(pause_seconds)
            hinted = self._hint.is_set()
            self._hint.clear()
            if self._broken is not None:
                raise errors.Unavailable(f"events broke off: {self._broken}")
            after = await self._look()
            changes = list(before.changes_to(after))
            pods = {**before.pods, **after.pods}
            before = after
            for change in changes:
                yield await self._event(change, pods)
            pause_seconds = next_pause(pause_seconds, active=hinted or bool(changes), told=self._told)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hint.wait()

    async def _look(self) -> Listing:
        sandboxes = await self._lists.list_pod_sandbox(cri.ListPodSandboxRequest())
        containers = await self._lists.list_containers(cri.ListContainersRequest())
        return Listing(sandboxes.items, containers.containers)

    async def _event(self, change: Change, pods: dict[str, cri.PodSandboxMetadata]) -> cri.ContainerEventResponse:
        """The event with the statuses as they are now; of a sandbox that is gone, whose it was."""
        event = cri.ContainerEventResponse(
            container_id=change.container_id, container_event_type=change.kind, created_at=time.time_ns()
        )
        try:
            found = await self._lists.pod_sandbox_status(cri.PodSandboxStatusRequest(pod_sandbox_id=change.sandbox_id))
        except errors.NotFound:
            event.pod_sandbox_status.id = change.sandbox_id
            event.pod_sandbox_status.state = cri.SANDBOX_NOTREADY
            if (metadata := pods.get(change.sandbox_id)) is not None:
                event.pod_sandbox_status.metadata.CopyFrom(metadata)
            return event
        event.pod_sandbox_status.CopyFrom(found.status)
        wanted = cri.ListContainersRequest(filter=cri.ContainerFilter(pod_sandbox_id=change.sandbox_id))
        for container in (await self._lists.list_containers(wanted)).containers:
            with contextlib.suppress(errors.NotFound):
                answer = await self._lists.container_status(cri.ContainerStatusRequest(container_id=container.id))
                event.containers_statuses.append(answer.status)
        return event


def next_pause(before_seconds: float, *, active: bool, told: bool) -> float:
    """How long to wait before the next look: short while something changes, longer and longer while nothing does."""
    shortest = TOLD_SHORTEST_SECONDS if told else SHORTEST_SECONDS
    longest = TOLD_LONGEST_SECONDS if told else LONGEST_SECONDS
    if active:
        return shortest
    return min(longest, before_seconds * 2)
