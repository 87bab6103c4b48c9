"""What volumes need from the rest of the agent, as they see it."""

from collections.abc import Mapping
from typing import Protocol

from lightkube.models.core_v1 import ConfigMap, Secret

from nodeagent.api.tokens import Token, TokenKey
from nodeagent.podspec.pod import AgentPod


class ObjectSource(Protocol):
    """ConfigMaps and Secrets that registered pods refer to. What it hands out is shared: never changed.

    Raises `nodeagent.api.errors.NotFound` when there is no such object, anything else when that is not known.
    """

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap: ...

    async def get_secret(self, namespace: str, name: str) -> Secret: ...


class TokenSource(Protocol):
    """Service account tokens, cached and renewed by the source."""

    async def get(self, key: TokenKey) -> Token:
        """A token that is valid now. Raises ApiError."""
        ...

    def forget(self, pod_uid: str) -> None:
        """The pod's token volumes are gone."""
        ...


class PodResources(Protocol):
    """Figures of pods and of the node that volumes depend on."""

    def allocatable(self) -> Mapping[str, str]:
        """Resource name -> quantity, as in node.status.allocatable."""
        ...

    def memory_limit_bytes(self, pod: AgentPod) -> int:
        """What the whole pod may use; 0 when it has no limit."""
        ...


class VolumeEvents(Protocol):
    """Where a pod's events go. Never blocks."""

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None: ...
