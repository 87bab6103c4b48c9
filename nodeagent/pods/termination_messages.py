"""What a pod needs while it runs: fresh volumes, and the last words of its containers."""

from collections.abc import Collection
from typing import Protocol

from nodeagent.pods.rules.model import Instance, Observed
from nodeagent.pods.translation.termination_message import termination_message
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri


class FreshVolumes(Protocol):
    async def refresh(self, pod: AgentPod, *, anew: bool) -> None:
        """Bring the volumes that follow API objects up to date. Raises nothing for those that cannot be."""
        ...


class Upkeep:
    """Implements `services.PodUpkeep`."""

    def __init__(self, volumes: FreshVolumes) -> None:
        self._volumes = volumes
        self._messages: dict[str, str] = {}  # by container id: what has ended says nothing new

    async def refresh(self, pod: AgentPod, *, anew: bool) -> None:
        await self._volumes.refresh(pod, anew=anew)

    def enrich(self, pod: AgentPod, observed: Observed) -> Observed:
        """Add to each exited container's message what it left in its termination message file or its log."""
        if not any(_ended(item) for item in observed.instances):
            return observed
        return Observed(
            sandboxes=observed.sandboxes,
            instances=tuple(self._with_message(item) if _ended(item) else item for item in observed.instances),
        )

    def forget(self, container_ids: Collection[str]) -> None:
        """Drop what is remembered of containers that have been removed."""
        for container_id in container_ids:
            self._messages.pop(container_id, None)

    def _with_message(self, item: Instance) -> Instance:
        status = cri.ContainerStatus()
        status.CopyFrom(item.status)
        if status.id not in self._messages:
            self._messages[status.id] = termination_message(item.status)
        status.message = self._messages[status.id]
        return Instance(sandbox_id=item.sandbox_id, status=status)


def _ended(item: Instance) -> bool:
    return bool(item.status.state == cri.CONTAINER_EXITED)
