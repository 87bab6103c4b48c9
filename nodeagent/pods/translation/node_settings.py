"""The node's part in the configurations of its pods and containers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from nodeagent.pods.translation.dns import DNSSettings
from nodeagent.pods.translation.environment import ServiceLister
from nodeagent.pods.translation.resources import HostLimits
from nodeagent.pods.translation.security import SecuritySettings
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri


class HandlerFeatures(Protocol):
    """What the runtime of a handler can do that not every runtime can, as last seen."""

    @property
    def recursive_read_only_mounts(self) -> bool: ...

    @property
    def image_volumes_refusal(self) -> str:
        """Why containers cannot mount images; empty: they can."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """Callables answer as of now, and at once. `features`: of a handler by its name on this node."""

    dns: Callable[[], DNSSettings]
    security: SecuritySettings
    host: HostLimits
    host_ips: Callable[[], tuple[str, ...]]
    allocatable: Callable[[], Mapping[str, str]]
    services: ServiceLister
    user_namespace: Callable[[AgentPod], cri.UserNamespace | None]  # raises UserNamespaceError
    features: Callable[[str], HandlerFeatures]
