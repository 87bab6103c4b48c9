"""What a runtime holds at one moment, and how two moments differ. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proto import cri_pb2 as cri


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that happened to a container, or to a sandbox (`container_id` is the sandbox's then)."""

    container_id: str
    sandbox_id: str
    kind: "cri.ContainerEventType"


@dataclass(frozen=True, slots=True)
class _Entry:
    sandbox_id: str
    rank: int  # 0 created, 1 running or ready, 2 ended


class Listing:
    """Ids and states of all sandboxes and containers, and whose pod a sandbox is."""

    def __init__(self, sandboxes: Iterable[cri.PodSandbox] = (), containers: Iterable[cri.Container] = ()) -> None:
        self.pods = {item.id: item.metadata for item in sandboxes}
        self._entries: dict[str, _Entry] = {}
        for item in sandboxes:
            self._entries[item.id] = _Entry(item.id, 1 if item.state == cri.SANDBOX_READY else 2)
        for container in containers:
            self._entries[container.id] = _Entry(container.pod_sandbox_id, _RANKS.get(container.state, 2))

    def changes_to(self, after: "Listing") -> Iterator[Change]:
        """What happened in between, an event for every step: short-lived containers were created, started and stopped."""
        for entry_id, entry in after._entries.items():
            before = self._entries.get(entry_id)
            reached = -1 if before is None else before.rank
            for rank in range(reached + 1, entry.rank + 1):
                yield Change(container_id=entry_id, sandbox_id=entry.sandbox_id, kind=_KINDS[rank])
        for entry_id, entry in self._entries.items():
            if entry_id not in after._entries:
                yield Change(container_id=entry_id, sandbox_id=entry.sandbox_id, kind=cri.CONTAINER_DELETED_EVENT)


_RANKS = {cri.CONTAINER_CREATED: 0, cri.CONTAINER_RUNNING: 1}
_KINDS = (cri.CONTAINER_CREATED_EVENT, cri.CONTAINER_STARTED_EVENT, cri.CONTAINER_STOPPED_EVENT)
