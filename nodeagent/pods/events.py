"""What happens to a pod, for its owner to read."""

from typing import Protocol

from nodeagent.podspec.pod import AgentPod


class PodEvents(Protocol):
    """Where a pod's events go. Never blocks."""

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None: ...
