"""The termination messages of containers that have exited, each read once."""

from collections.abc import Collection

from nodeagent.pods.rules.model import Instance, Observed
from nodeagent.pods.translation.termination_message import termination_message
from proto import cri_pb2 as cri


class TerminationMessages:
    """Of one node's containers, by container id: what has exited writes no other message."""

    def __init__(self) -> None:
        self._messages: dict[str, str] = {}

    def add_to(self, observed: Observed) -> Observed:
        """Every exited container with the message that it left in its termination message file or its log."""
        if not any(_has_exited(item) for item in observed.instances):
            return observed
        return Observed(
            sandboxes=observed.sandboxes,
            instances=tuple(self._with_message(item) if _has_exited(item) else item for item in observed.instances),
        )

    def forget(self, container_ids: Collection[str]) -> None:
        """These containers have been removed."""
        for container_id in container_ids:
            self._messages.pop(container_id, None)

    def _with_message(self, item: Instance) -> Instance:
        status = cri.ContainerStatus()
        status.CopyFrom(item.status)
        if status.id not in self._messages:
            self._messages[status.id] = termination_message(item.status)
        status.message = self._messages[status.id]
        return Instance(sandbox_id=item.sandbox_id, status=status)


def _has_exited(item: Instance) -> bool:
    return bool(item.status.state == cri.CONTAINER_EXITED)
