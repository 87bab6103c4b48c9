"""What happens to a pod, for its owner to read."""

from typing import Protocol

from lightkube.models.core_v1 import Pod


class PodEvents(Protocol):
    """Where a pod's events go. Never blocks."""

    def event(self, pod: Pod, type: str, reason: str, message: str, *, field_path: str = "") -> None: ...
