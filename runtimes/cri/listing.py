"""What a runtime holds at one moment, and how two moments differ. Pure."""

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proto import cri_pb2 as cri


class Stage(enum.IntEnum):
    """How far a container or a sandbox has come. A sandbox is never less than running."""

    CREATED = 0
    RUNNING = 1
    ENDED = 2
    GONE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that happened to a container, or to a sandbox (`container_id` is the sandbox's then)."""

    container_id: str
    sandbox_id: str
    kind: "cri.ContainerEventType"


@dataclass(frozen=True, slots=True)
class _Entry:
    sandbox_id: str
    stage: Stage


class Listing:
    """Ids and stages of all sandboxes and containers, and whose pod a sandbox is."""

    def __init__(self, sandboxes: Iterable[cri.PodSandbox] = (), containers: Iterable[cri.Container] = ()) -> None:
        self.pods = {item.id: item.metadata for item in sandboxes}
        self._entries: dict[str, _Entry] = {}
        for item in sandboxes:
            stage = Stage.RUNNING if item.state == cri.SANDBOX_READY else Stage.ENDED
            self._entries[item.id] = _Entry(item.id, stage)
        for container in containers:
            stage = _STAGES.get(container.state, Stage.ENDED)
            self._entries[container.id] = _Entry(container.pod_sandbox_id, stage)

    def shows(self, subject_id: str, stage: Stage) -> bool:
        """Whether that one is here as far as `stage` or further; what is gone is not here."""
        entry = self._entries.get(subject_id)
        return stage is Stage.GONE if entry is None else entry.stage >= stage

    def is_ended(self, subject_id: str) -> bool:
        """Here, and not running any more."""
        entry = self._entries.get(subject_id)
        return entry is not None and entry.stage is Stage.ENDED

    def sandbox_of(self, subject_id: str) -> str:
        """Of one that is here."""
        return self._entries[subject_id].sandbox_id

    def changes_to(self, after: "Listing") -> Iterator[Change]:
        """What happened in between, an event for every step: short-lived containers were created, started and stopped."""
        for entry_id, entry in after._entries.items():
            before = self._entries.get(entry_id)
            reached = -1 if before is None else before.stage
            for stage in range(reached + 1, entry.stage + 1):
                yield Change(container_id=entry_id, sandbox_id=entry.sandbox_id, kind=_KINDS[stage])
        for entry_id, entry in self._entries.items():
            if entry_id not in after._entries:
                if entry.stage is Stage.RUNNING:  # nothing that runs is removed: it has ended before
                    yield Change(container_id=entry_id, sandbox_id=entry.sandbox_id, kind=_KINDS[Stage.ENDED])
                yield Change(container_id=entry_id, sandbox_id=entry.sandbox_id, kind=_KINDS[Stage.GONE])


_STAGES = {cri.CONTAINER_CREATED: Stage.CREATED, cri.CONTAINER_RUNNING: Stage.RUNNING}
_KINDS = (
    cri.CONTAINER_CREATED_EVENT,
    cri.CONTAINER_STARTED_EVENT,
    cri.CONTAINER_STOPPED_EVENT,
    cri.CONTAINER_DELETED_EVENT,
)
