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

from nodeagent.api.events import WARNING, Events
from nodeagent.podspec import annotations
from nodeagent.podspec.pod import AgentPod, PodUID

log = logging.getLogger(__name__)

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
    pod: AgentPod


@dataclass(slots=True)
class _Source:
    pods: dict[PodUID, AgentPod] = field(default_factory=dict)
    uids: dict[Key, PodUID] = field(default_factory=dict)  # by (namespace, name)
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

    def pods(self) -> list[AgentPod]:
        """All wanted pods."""
        return [pod for source in self._sources.values() for pod in source.pods.values()]

    def replace(self, name: str, pods: Iterable[Pod]) -> None:
        """The full set of a source."""
        source = self._sources[name]
        wanted = self._without_duplicates(name, (AgentPod.of(pod, name) for pod in pods))
        gone = [uid for uid in source.pods if uid not in wanted]
        changes = [self._remove(source, uid) for uid in gone]
        changes += [change for pod in wanted.values() if (change := self._put(source, pod))]
        first, source.seen = not source.seen, True
        if changes or first:
            self._deliver(changes)
        if self.all_seen:
            self._complete.set()

    def update(self, name: str, pod: Pod) -> None:
        """One pod of a source is new or different."""
        source, new = self._sources[name], AgentPod.of(pod, name)
        changes = []
        known = source.uids.get(new.key)
        if known is not None and known != new.uid:
            # deleted and created again between two looks: another pod under the same name
            changes.append(self._remove(source, known))
        if change := self._put(source, new):
            changes.append(change)
        if changes:
            self._deliver(changes)

    def remove(self, name: str, pod: Pod) -> None:
        """One pod of a source is gone."""
        source, last = self._sources[name], AgentPod.of(pod, name)
        if last.uid in source.pods:
            self._deliver([self._remove(source, last.uid, last)])

    def _without_duplicates(self, name: str, pods: Iterable[AgentPod]) -> dict[PodUID, AgentPod]:
        wanted: dict[PodUID, AgentPod] = {}
        keys: set[Key] = set()
        for pod in pods:
            if pod.key in keys:
                full_name = f"{pod.name}_{pod.namespace}"
                text = f'Error validating pod {full_name} from {name} due to duplicate pod name "{pod.name}", ignoring'
                log.warning("%s", text)
                self._events.event(pod, WARNING, "FailedValidation", text)
                continue
            keys.add(pod.key)
            wanted[pod.uid] = pod
        return wanted

    def _remove(self, source: _Source, uid: PodUID, last: AgentPod | None = None) -> PodChange:
        known = source.pods.pop(uid)
        source.uids.pop(known.key, None)
        return PodChange(type=ChangeType.REMOVE, pod=self._annotated(last, known) if last is not None else known)

    def _put(self, source: _Source, pod: AgentPod) -> PodChange | None:
        known = source.pods.get(pod.uid)
        pod = self._annotated(pod, known)
        source.pods[pod.uid] = pod
        source.uids[pod.key] = pod.uid
        if known is None:
            return PodChange(type=ChangeType.ADD, pod=pod)
        if differs(known, pod):
            return PodChange(type=ChangeType.DELETE if pod.is_deleted else ChangeType.UPDATE, pod=pod)
        if known.status != pod.status:
            return PodChange(type=ChangeType.RECONCILE, pod=pod)
        return None

    def _annotated(self, pod: AgentPod, known: AgentPod | None) -> AgentPod:
        seen = known.annotations.get(annotations.SEEN) if known is not None else None
        added = {annotations.SOURCE: pod.source, annotations.SEEN: seen or _seen_text(self._now())}
        return pod.with_annotations(added)

    def _deliver(self, changes: list[PodChange]) -> None:
        self._on_pods(sorted(changes, key=_delivery_order))


def differs(before: AgentPod, after: AgentPod) -> bool:
    """Say whether the change matters to a running pod: anything but status and bookkeeping."""
    old, new = before.metadata, after.metadata
    return (
        before.spec != after.spec
        or before.labels != after.labels
        or old.deletionTimestamp != new.deletionTimestamp
        or old.deletionGracePeriodSeconds != new.deletionGracePeriodSeconds
        or _foreign(before.annotations) != _foreign(after.annotations)
    )


def _foreign(all_annotations: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in all_annotations.items() if key not in annotations.LOCAL}


def _delivery_order(change: PodChange) -> tuple[int, datetime]:
    created = change.pod.metadata.creationTimestamp
    return _ORDER[change.type], (created if change.type is ChangeType.ADD else None) or _LONG_AGO


def _seen_text(now: datetime) -> str:
    """RFC 3339 with nine fractional digits, as `config.seen` shows it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
