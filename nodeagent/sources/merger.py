"""Pods of all sources become one stream of changes. Source: facts pod-lifecycle 1.1, 1.2.

Each source delivers what it has; the merger says what that changes. It owns the set of wanted pods.
"""

import asyncio
import enum
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lightkube.models.core_v1 import Pod
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.events import WARNING, Events
from nodeagent.sources import annotations

log = logging.getLogger(__name__)

API, FILE, HTTP = "api", "file", "http"
Key = tuple[str, str]
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class ChangeType(enum.Enum):
    """What happened to a pod, in the order of delivery."""

    REMOVE = "REMOVE"  # gone from its source
    ADD = "ADD"
    UPDATE = "UPDATE"  # spec, labels, annotations or deletion fields differ
    DELETE = "DELETE"  # the same, and it has a deletionTimestamp
    RECONCILE = "RECONCILE"  # only its status differs


_ORDER = {kind: index for index, kind in enumerate(ChangeType)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodChange:
    """One change. `pod` is the agent's copy, with its own annotations; for REMOVE the last one known."""

    type: ChangeType
    pod: Pod
    source: str


@dataclass(slots=True)
class _Source:
    pods: dict[str, Pod] = field(default_factory=dict)  # by UID
    uids: dict[Key, str] = field(default_factory=dict)  # by (namespace, name)
    seen: bool = False


class PodMerger:
    """Takes the sources' pods and hands changes to `on_pods`; all in the event loop.

    `sources`: those that are configured. `on_pods` also gets an empty list when a source that has no pods is first seen,
    as that may be what housekeeping waits for (`all_seen`).
    """

    def __init__(
        self,
        on_pods: Callable[[list[PodChange]], None],
        sources: Iterable[str],
        events: Events,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._on_pods = on_pods
        self._sources = {name: _Source() for name in sources}
        self._events = events
        self._now = now
        self._complete = asyncio.Event()

    @property
    def all_seen(self) -> bool:
        """Every configured source has delivered once. Before that nothing may be killed for being unknown."""
        return all(source.seen for source in self._sources.values())

    async def complete(self) -> None:
        """Return when the last of the sources has delivered for the first time; never where none is configured."""
        await self._complete.wait()

    def pods(self) -> list[Pod]:
        """All wanted pods."""
        return [pod for source in self._sources.values() for pod in source.pods.values()]

    def replace(self, name: str, pods: Iterable[Pod]) -> None:
        """The full set of a source."""
        source = self._sources[name]
        wanted = self._without_duplicates(name, pods)
        gone = [uid for uid in source.pods if uid not in wanted]
        changes = [self._remove(name, source, uid) for uid in gone]
        changes += [change for pod in wanted.values() if (change := self._put(name, source, pod))]
        first, source.seen = not source.seen, True
        if changes or first:
            self._deliver(changes)
        if self.all_seen:
            self._complete.set()

    def update(self, name: str, pod: Pod) -> None:
        """One pod of a source is new or different."""
        source = self._sources[name]
        changes = []
        known = source.uids.get(_key(pod))
        if known is not None and known != _uid(pod):
            # deleted and created again between two looks: another pod under the same name
            changes.append(self._remove(name, source, known))
        if change := self._put(name, source, pod):
            changes.append(change)
        if changes:
            self._deliver(changes)

    def remove(self, name: str, pod: Pod) -> None:
        """One pod of a source is gone."""
        source = self._sources[name]
        if _uid(pod) in source.pods:
            self._deliver([self._remove(name, source, _uid(pod), pod)])

    def _without_duplicates(self, name: str, pods: Iterable[Pod]) -> dict[str, Pod]:
        wanted: dict[str, Pod] = {}
        keys: set[Key] = set()
        for pod in pods:
            key = _key(pod)
            if key in keys:
                full_name = f"{key[1]}_{key[0]}"
                text = f'Error validating pod {full_name} from {name} due to duplicate pod name "{key[1]}", ignoring'
                log.warning("%s", text)
                self._events.event(pod, WARNING, "FailedValidation", text)
                continue
            keys.add(key)
            wanted[_uid(pod)] = pod
        return wanted

    def _remove(self, name: str, source: _Source, uid: str, last: Pod | None = None) -> PodChange:
        known = source.pods.pop(uid)
        source.uids.pop(_key(known), None)
        pod = self._annotated(name, last, known) if last is not None else known
        return PodChange(type=ChangeType.REMOVE, pod=pod, source=name)

    def _put(self, name: str, source: _Source, pod: Pod) -> PodChange | None:
        known = source.pods.get(_uid(pod))
        pod = self._annotated(name, pod, known)
        source.pods[_uid(pod)] = pod
        source.uids[_key(pod)] = _uid(pod)
        if known is None:
            return PodChange(type=ChangeType.ADD, pod=pod, source=name)
        if differs(known, pod):
            deleted = pod.metadata is not None and pod.metadata.deletionTimestamp is not None
            return PodChange(type=ChangeType.DELETE if deleted else ChangeType.UPDATE, pod=pod, source=name)
        if known.status != pod.status:
            return PodChange(type=ChangeType.RECONCILE, pod=pod, source=name)
        return None

    def _annotated(self, name: str, pod: Pod, known: Pod | None) -> Pod:
        seen = annotations.of(known).get(annotations.SEEN) if known is not None else None
        added = {annotations.SOURCE: name, annotations.SEEN: seen or annotations.seen_text(self._now())}
        return annotations.with_annotations(pod, added)

    def _deliver(self, changes: list[PodChange]) -> None:
        self._on_pods(sorted(changes, key=_delivery_order))


def differs(before: Pod, after: Pod) -> bool:
    """Say whether the change matters to a running pod: anything but status and bookkeeping."""
    old, new = before.metadata or ObjectMeta(), after.metadata or ObjectMeta()
    return (
        before.spec != after.spec
        or (old.labels or {}) != (new.labels or {})
        or old.deletionTimestamp != new.deletionTimestamp
        or old.deletionGracePeriodSeconds != new.deletionGracePeriodSeconds
        or _foreign(old.annotations) != _foreign(new.annotations)
    )


def _foreign(all_annotations: Mapping[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (all_annotations or {}).items() if key not in annotations.LOCAL}


def _delivery_order(change: PodChange) -> tuple[int, datetime]:
    created = change.pod.metadata.creationTimestamp if change.pod.metadata else None
    return _ORDER[change.type], (created if change.type is ChangeType.ADD else None) or _LONG_AGO


def _uid(pod: Pod) -> str:
    return (pod.metadata.uid if pod.metadata else None) or ""


def _key(pod: Pod) -> Key:
    metadata = pod.metadata or ObjectMeta()
    return metadata.namespace or "", metadata.name or ""
