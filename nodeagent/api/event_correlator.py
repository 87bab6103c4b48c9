"""What becomes of an event on its way out: dropped as spam, merged with similar ones, counted up, or sent as it is.

Pure but for its own memory and the clock it is given. Source: client-go's event correlator
(docs/facts/api-client-and-server.md F.2).
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

import msgspec
from lightkube.models.core_v1 import Event, ObjectReference

from nodeagent.api.ratelimit import TokenBucket

MEMORY_KEYS = 4096
SPAM_BURST = 25
SPAM_QPS = 1 / 300
SIMILAR_LIMIT = 10
SIMILAR_WINDOW_SECONDS = 600.0
COMBINED_PREFIX = "(combined from similar events): "

V = TypeVar("V")
Key = tuple[str | None, ...]


class Lru(Generic[V]):
    """A dictionary that forgets what was not used for longest."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Hashable, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the API holds of a series of equal events."""

    name: str
    count: int
    first_timestamp: datetime


@dataclass(slots=True)
class _Group:
    last_seen: datetime
    messages: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """An event to send. `update`: it was sent before under this name; patch count, lastTimestamp and message."""

    event: Event
    key: Key
    update: bool


class Correlator:
    """Decides for one event after the other, in the order in which they happened."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._spam: Lru[TokenBucket] = Lru(MEMORY_KEYS)
        self._groups: Lru[_Group] = Lru(MEMORY_KEYS)
        self._sent: Lru[Sent] = Lru(MEMORY_KEYS)

    def correlate(self, event: Event) -> Outgoing | None:
        """Return what to send for `event`, None: nothing. Remember the result with `sent` once the API has it."""
        event, key = self._aggregate(event)
        before = self._sent.get(key)
        if before is not None:
            event = msgspec.structs.replace(
                event,
                metadata=msgspec.structs.replace(event.metadata, name=before.name),
                count=before.count + 1,
                firstTimestamp=before.first_timestamp,
            )
            self._remember(key, event)
        if not self._spam_bucket(event).take():
            return None
        return Outgoing(event=event, key=key, update=before is not None)

    def sent(self, outgoing: Outgoing) -> None:
        """The API took it."""
        self._remember(outgoing.key, outgoing.event)

    def _remember(self, key: Key, event: Event) -> None:
        assert event.firstTimestamp is not None
        self._sent.put(
            key,
            Sent(name=event.metadata.name or "", count=event.count or 1, first_timestamp=event.firstTimestamp),
        )

    def _aggregate(self, event: Event) -> tuple[Event, Key]:
        now, message = event.lastTimestamp, event.message or ""
        assert now is not None
        group_key = _group_key(event)
        group = self._groups.get(group_key)
        if group is None or (now - group.last_seen).total_seconds() > SIMILAR_WINDOW_SECONDS:
            group = _Group(now)
            self._groups.put(group_key, group)
        group.messages.add(message)
        group.last_seen = now
        if len(group.messages) < SIMILAR_LIMIT:
            return event, (*group_key, event.involvedObject.fieldPath, message)
        group.messages.pop()  # bounds the memory; the group stays at its limit
        return msgspec.structs.replace(event, message=COMBINED_PREFIX + message), group_key

    def _spam_bucket(self, event: Event) -> TokenBucket:
        key = (*_source(event), *_object(event.involvedObject), event.type)
        bucket = self._spam.get(key)
        if bucket is None:
            bucket = TokenBucket(SPAM_QPS, SPAM_BURST, clock=self._clock)
            self._spam.put(key, bucket)
        return bucket


def _source(event: Event) -> Key:
    return (event.source.component, event.source.host) if event.source else (None, None)


def _object(reference: ObjectReference) -> Key:
    return (reference.kind, reference.namespace, reference.name, reference.uid, reference.apiVersion)


def _group_key(event: Event) -> Key:
    return (
        *_source(event),
        *_object(event.involvedObject),
        event.type,
        event.reason,
        event.reportingComponent,
        event.reportingInstance,
    )
