"""Events of a CRI endpoint: from the peer where it tells them, else by comparing lists when something may have changed.

Three ways, the best that the peer has: GetContainerEvents (CRI-O, containerd 1.7 and later); containerd's own events
service, whose messages say when to look, within milliseconds; looking now and then, 100 ms apart while something changes and
up to 1 s apart while nothing does. In each of them what is there already is reported first, so that nothing falls between the
caller's own look at the runtime and the beginning of the events.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import Protocol

from proto import containerd_events_pb2 as containerd
from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.cri import containerd_events
from runtimes.cri.endpoint import Endpoint
from runtimes.cri.listing import Listing, Stage
from runtimes.cri.subscription import Subscription

log = logging.getLogger(__name__)

_CRI_EVENTS = "/runtime.v1.RuntimeService/GetContainerEvents"
_CONTAINERD_EVENTS = "/containerd.services.events.v1.Events/Subscribe"
SHORTEST_SECONDS = 0.1
LONGEST_SECONDS = 1.0
# With a peer that says when to look: what the CRI shows follows within milliseconds; and a net for what was never told.
TOLD_SHORTEST_SECONDS = 0.01
TOLD_LONGEST_SECONDS = 10.0
# The CRI shows an exit some 50 ms after it was reported, when the task is deleted: pauses that grow by a fifth find it early.
_GROWTH, _TOLD_GROWTH = 2.0, 1.2
# Looking may take a third of the time, so that a flood of hints becomes few looks at many changes.
_REST_PER_LOOK = 2.0
_LOOKS_UNTIL_SETTLED = 8
_OUT_OF_MEMORY = "OOMKilled"


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
    """One listener's events. Nothing is kept for it but the last listing, and the hints that no listing has shown."""

    def __init__(self, endpoint: Endpoint, lists: Lists) -> None:
        self._endpoint = endpoint
        self._lists = lists
        self._hinted = asyncio.Event()
        self._waiting = containerd_events.Waiting()
        self._killed = containerd_events.Waiting()  # by the kernel, for want of memory; no status has said so yet
        self._told = True
        self._broken: errors.RuntimeFault | None = None
        self._look_seconds = 0.0

    async def follow(self) -> AsyncGenerator[cri.ContainerEventResponse, None]:
        """What is there, then what happens. Ends with Unavailable, or the fault that the peer answers a list with."""
        stream = self._endpoint.stream(_CRI_EVENTS, b"", cri.ContainerEventResponse.FromString)
        events = Subscription(stream, f"CRI events of {self._endpoint.address}")
        try:
            before = await self._look()
            async for event in self._tell(Listing(), before):
                yield event
            with contextlib.suppress(errors.NotSupported):
                async for event in events:
                    yield event
        finally:
            events.close()
        listening = asyncio.create_task(self._listen(), name=f"hints of {self._endpoint.address}")
        try:
            async for event in self._relist(before):
                yield event
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        """Take the hints of containerd's events service, while there is one."""
        request = containerd_events.REQUEST.SerializeToString()
        try:
            async for envelope in self._endpoint.stream(_CONTAINERD_EVENTS, request, containerd.Envelope.FromString):
                match containerd_events.read(envelope):
                    case containerd_events.ContainerdEvent(subject_id=subject_id, stage=stage):
                        self._waiting.add(subject_id, stage)
                    case containerd_events.OutOfMemory(container_id=container_id):
                        self._killed.add(container_id, Stage.GONE)
                    case None:
                        continue
                self._hinted.set()
        except (errors.Unavailable, errors.Timeout) as error:
            self._broken = error
        except errors.RuntimeFault as error:
            log.info("%s tells no events, so it is looked at: %s", self._endpoint.address, error)
            self._told = False
        self._hinted.set()

    async def _relist(self, before: Listing) -> AsyncIterator[cri.ContainerEventResponse]:
        pause_seconds, looks = SHORTEST_SECONDS, 0
        while True:
            hinted = await self._wait(pause_seconds)
            if self._broken is not None:
                raise errors.Unavailable(f"events broke off: {self._broken}")
            after, looks = await self._look(), looks + 1
            active = hinted
            async for event in self._tell(before, after):
                active = True
                yield event
            async for event in self._tell_kills(after):
                yield event
            self._waiting.shown(after)
            before = after
            pause_seconds = next_pause(
                pause_seconds,
                active=active,
                told=self._told,
                settled=not self._waiting and not self._killed and looks > _LOOKS_UNTIL_SETTLED,
            )

    async def _wait(self, seconds: float) -> bool:
        """Whether a hint came. After a look comes a rest, whatever the hints say."""
        await asyncio.sleep(self._look_seconds * _REST_PER_LOOK)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hinted.wait()
        hinted = self._hinted.is_set()
        self._hinted.clear()
        return hinted

    async def _look(self) -> Listing:
        started = time.monotonic()
        sandboxes = await self._lists.list_pod_sandbox(cri.ListPodSandboxRequest())
        containers = await self._lists.list_containers(cri.ListContainersRequest())
        self._look_seconds = time.monotonic() - started
        return Listing(sandboxes.items, containers.containers)

    async def _tell(self, before: Listing, after: Listing) -> AsyncIterator[cri.ContainerEventResponse]:
        """An event for each change, with the statuses as they are now: asked for once a sandbox."""
        pods = {**before.pods, **after.pods}
        asked: dict[str, cri.ContainerEventResponse] = {}
        for change in before.changes_to(after):
            if change.sandbox_id not in asked:
                asked[change.sandbox_id] = await self._statuses(change.sandbox_id, pods.get(change.sandbox_id))
            event = cri.ContainerEventResponse(
                container_id=change.container_id, container_event_type=change.kind, created_at=time.time_ns()
            )
            event.MergeFrom(asked[change.sandbox_id])
            self._forget_kills(event)
            yield event

    async def _tell_kills(self, listing: Listing) -> AsyncIterator[cri.ContainerEventResponse]:
        """An exit whose reason came late is reported again, with the reason."""
        for container_id in self._killed.ended(listing):
            event = await self._statuses(listing.sandbox_of(container_id), None)
            if container_id in self._forget_kills(event):
                event.container_id, event.created_at = container_id, time.time_ns()
                event.container_event_type = cri.CONTAINER_STOPPED_EVENT
                yield event
        self._killed.shown(listing)

    def _forget_kills(self, event: cri.ContainerEventResponse) -> list[str]:
        """Those that the event tells of."""
        told = [status.id for status in event.containers_statuses if status.reason == _OUT_OF_MEMORY]
        for container_id in told:
            self._killed.drop(container_id)
        return told

    async def _statuses(self, sandbox_id: str, metadata: cri.PodSandboxMetadata | None) -> cri.ContainerEventResponse:
        """The part of an event that tells of the sandbox; of one that is gone, whose it was."""
        event = cri.ContainerEventResponse()
        try:
            found = await self._lists.pod_sandbox_status(cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))
        except errors.NotFound:
            event.pod_sandbox_status.id = sandbox_id
            event.pod_sandbox_status.state = cri.SANDBOX_NOTREADY
            if metadata is not None:
                event.pod_sandbox_status.metadata.CopyFrom(metadata)
            return event
        event.pod_sandbox_status.CopyFrom(found.status)
        wanted = cri.ListContainersRequest(filter=cri.ContainerFilter(pod_sandbox_id=sandbox_id))
        event.containers_statuses.extend(await self._container_statuses(await self._lists.list_containers(wanted)))
        return event

    async def _container_statuses(self, listed: cri.ListContainersResponse) -> Iterable[cri.ContainerStatus]:
        found = []
        for container in listed.containers:
            with contextlib.suppress(errors.NotFound):
                answer = await self._lists.container_status(cri.ContainerStatusRequest(container_id=container.id))
                found.append(answer.status)
        return found


def next_pause(before_seconds: float, *, active: bool, told: bool, settled: bool) -> float:
    """How long to wait before the next look: short while something changes, longer and longer while nothing does.

    `told`: the peer says when to look. `settled`: and everything that it has said has been seen.
    """
    shortest = TOLD_SHORTEST_SECONDS if told else SHORTEST_SECONDS
    longest = TOLD_LONGEST_SECONDS if told else LONGEST_SECONDS
    if told and settled:
        return longest
    if active:
        return shortest
    return min(longest, before_seconds * (_TOLD_GROWTH if told else _GROWTH))
