"""Events about pods and the node: recorded at once and without waiting, sent by a task of its own.

As core/v1, which is what a kubelet uses; as events.k8s.io/v1 where the API serves only that.
Source: client-go's core/v1 recorder and sink (docs/facts/api-client-and-server.md F.1, F.2; docs/facts/pod-lifecycle.md 16).
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from lightkube.models import events_v1
from lightkube.models.core_v1 import Event, EventSource, ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from typing_extensions import override

from nodeagent.api import errors
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError, Unavailable
from nodeagent.api.event_correlator import Correlator, Outgoing
from nodeagent.api.events_v1 import new_event, repeat_patch
from nodeagent.api.outage import Outage
from nodeagent.api.resources import metadata_of, resource_of
from nodeagent.podspec.pod import AgentPod

log = logging.getLogger(__name__)

QUEUE_SIZE = 1000
MAX_MESSAGE_CHARS = 4096  # a thousand of them wait in the queue, and what is quoted in one may be untrusted
TRIES = 12
RETRY_SECONDS = 10.0
HOLD_SECONDS = 0.1  # what tells of a start does not compete with it for the processor: an eighth of a start's time
COMPONENT = "kubelet"
NORMAL = "Normal"
WARNING = "Warning"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class Events(Protocol):
    """Where components report what happened."""

    def event(
        self,
        ref: AgentPod | msgspec.Struct,
        type: str,
        reason: str,
        message: str,
        *,
        field_path: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Record one event; never waits, never fails.

        `ref`: the pod, another object, or a reference to it. `type`: NORMAL or WARNING. `field_path` names a container of a pod.
        """


def reference(obj: msgspec.Struct) -> ObjectReference:
    """Return the reference to put into events about `obj`, a model of a registered kind."""
    resource, metadata = resource_of(type(obj)), metadata_of(obj)
    return ObjectReference(
        apiVersion=resource.api_version,
        kind=resource.kind,
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
        resourceVersion=metadata.resourceVersion,
    )


def as_reference(ref: AgentPod | msgspec.Struct) -> ObjectReference:
    if isinstance(ref, AgentPod):
        return ref.reference
    return ref if isinstance(ref, ObjectReference) else reference(ref)


def node_reference(node_name: str) -> ObjectReference:
    """Return the reference of events about the own node: no uid and no namespace (docs/facts/node-resources.md 8.3)."""
    return ObjectReference(apiVersion="v1", kind="Node", name=node_name)


class NodeEvents:
    """Events about the own node."""

    def __init__(self, events: Events, node_name: str) -> None:
        self._events = events
        self._reference = node_reference(node_name)

    def node_event(self, type: str, reason: str, message: str) -> None:
        self._events.event(self._reference, type, reason, message)


class LoggingEvents(Events):
    """Only logs. For an agent without an API."""

    @override
    def event(
        self,
        ref: AgentPod | msgspec.Struct,
        type: str,
        reason: str,
        message: str,
        *,
        field_path: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        ref = as_reference(ref)
        name = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
        log.info(
            "event %s %s %s%s: %s: %s", type, ref.kind, name, f" {field_path}" if field_path else "", reason, message
        )


class EventRecorder(Events):
    """Records into a queue of 1000, from which `run()` sends. When the queue is full, events are dropped.

    `client`: with the events' own rate limit (`ApiClient.sharing`).
    """

    def __init__(
        self,
        client: ApiClient,
        node_name: str,
        *,
        component: str = COMPONENT,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        self._client = client
        self._source = EventSource(component=component, host=node_name)
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._hold_seconds = hold_seconds
        self._queue: asyncio.Queue[tuple[float, Event]] = asyncio.Queue(QUEUE_SIZE)  # with when it may be sent
        self._correlator = Correlator(clock)
        self._last_name = 0
        self._dropped = 0
        self._sending = Outage("sending events")
        self._core = True  # the API serves core/v1's events

    @override
    def event(
        self,
        ref: AgentPod | msgspec.Struct,
        type: str,
        reason: str,
        message: str,
        *,
        field_path: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        ref = as_reference(ref)
        if field_path:
            ref = msgspec.structs.replace(ref, fieldPath=field_path)
        now = self._now()
        seconds = now.replace(microsecond=0)
        event = Event(
            metadata=ObjectMeta(
                name=f"{ref.name}.{self._unique(now):x}",
                namespace=ref.namespace or "default",
                annotations=dict(annotations) if annotations else None,
            ),
            involvedObject=ref,
            reason=reason,
            message=message if len(message) <= MAX_MESSAGE_CHARS else f"{message[:MAX_MESSAGE_CHARS]}…",
            type=type,
            source=self._source,
            reportingComponent=self._source.component,
            reportingInstance=self._source.host,
            count=1,
            firstTimestamp=seconds,
            lastTimestamp=seconds,
        )
        try:
            self._queue.put_nowait((self._clock() + self._hold_seconds, event))
        except asyncio.QueueFull:
            self._dropped += 1
            if self._dropped & (self._dropped - 1) == 0:  # 1, 2, 4, 8 ...: an outage must not flood the log
                log.warning("event queue is full: %d events dropped so far, now %s", self._dropped, reason)

    async def run(self) -> None:
        """Send what is recorded, in order, each a moment later, until cancelled."""
        try:
            while True:
                not_before, event = await self._queue.get()
                if (pause_seconds := not_before - self._clock()) > 0:
                    await self._sleep(pause_seconds)
                await self._deliver(event)
                self._queue.task_done()
        finally:
            self._sending.close()

    async def flush(self) -> None:
        """Wait until all that was recorded has been dealt with. Give it a deadline: an outage takes minutes."""
        await self._queue.join()

    def _unique(self, now: datetime) -> int:
        # two events within one microsecond must not share a name
        nanoseconds = int(now.timestamp() * 1_000_000) * 1000
        self._last_name = max(nanoseconds, self._last_name + 1)
        return self._last_name

    async def _deliver(self, event: Event) -> None:
        outgoing = self._correlator.correlate(event)
        if outgoing is None:
            return
        for attempt in range(TRIES):
            try:
                await self._send(outgoing)
            except Unavailable as error:
                self._sending.failed(str(error))
                if attempt == TRIES - 1:
                    log.error("giving up on event %s: %s", event.reason, error)
                    return
                # the first wait is random, so that the nodes of a cluster do not come back all at once
                await self._sleep(RETRY_SECONDS * (self._chance() if attempt == 0 else 1.0))
            except errors.AlreadyExists:
                return
            except ApiError as error:
                log.warning("the API refuses event %s about %s: %s", event.reason, event.involvedObject.name, error)
                return
            else:
                self._sending.works()
                self._correlator.sent(outgoing)
                return

    async def _send(self, outgoing: Outgoing) -> None:
        if self._core:
            try:
                return await self._send_as(Event, outgoing, _repeat_patch, lambda event: event)
            except errors.NotServed:
                log.info("the API serves no core/v1 events: they are sent as events.k8s.io/v1")
                self._core = False
        try:
            await self._send_as(events_v1.Event, outgoing, repeat_patch, new_event)
        except errors.NotServed:
            self._core = True  # it serves neither, for now
            raise

    async def _send_as(
        self,
        kind: type[msgspec.Struct],
        outgoing: Outgoing,
        patch_of: Callable[[Event], dict[str, Any]],
        new: Callable[[Event], msgspec.Struct],
    ) -> None:
        event = outgoing.event
        assert event.metadata.name is not None
        if outgoing.update:
            try:
                await self._client.patch(kind, event.metadata.name, event.metadata.namespace, patch_of(event))
                return
            except errors.NotFound:
                pass  # it aged out of the API: it starts again, with its count
        await self._client.create(new(event))


def _repeat_patch(event: Event) -> dict[str, Any]:
    assert event.lastTimestamp is not None
    return {
        "count": event.count,
        "lastTimestamp": event.lastTimestamp.astimezone(UTC).strftime(TIME_FORMAT),
        "message": event.message,
    }
