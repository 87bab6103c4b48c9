"""What volumes need from the rest of the agent, as they see it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from lightkube.models.core_v1 import (
    ClusterTrustBundleProjection,
    ConfigMap,
    Node,
    PodCertificateProjection,
    Secret,
)

from nodeagent.api.pod_certificates import CertificateKey, PodCertificate
from nodeagent.api.tokens import Token, TokenKey
from nodeagent.podspec.pod import AgentPod


class ObjectSource(Protocol):
    """ConfigMaps and Secrets that registered pods refer to. What it hands out is shared: never changed.

    Raises `nodeagent.api.errors.NotFound` when there is no such object, anything else when that is not known.
    """

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap: ...

    async def get_secret(self, namespace: str, name: str) -> Secret: ...


class SecretSource(Protocol):
    """Secrets with which a volume is mounted, read at each attempt: a PersistentVolume may name one of any namespace."""

    async def get_secret(self, namespace: str, name: str) -> Secret:
        """Raises `nodeagent.api.errors.ApiError`, or says that it is not known."""
        ...


class TokenSource(Protocol):
    """Service account tokens, cached and renewed by the source."""

    async def get(self, key: TokenKey) -> Token:
        """A token that is valid now. Raises ApiError."""
        ...

    def forget(self, pod_uid: str) -> None:
        """The pod's token volumes are gone."""
        ...


class BundleSource(Protocol):
    """The cluster's trust anchors, followed by the source."""

    async def select(self, pod_uid: str, wanted: ClusterTrustBundleProjection) -> list[str]:
        """PEM texts. Raises NotFound where nothing is selected, ApiError."""
        ...

    def forget(self, pod_uid: str) -> None: ...


class CertificateSource(Protocol):
    """Certificates of pods, renewed by the source."""

    async def get(self, key: CertificateKey, pod: AgentPod, wanted: PodCertificateProjection) -> PodCertificate:
        """The newest one. Raises NotIssued, ApiError."""
        ...

    def forget(self, pod_uid: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedSources:
    """What projected volumes are made of, but for the pod itself."""

    objects: ObjectSource
    tokens: TokenSource
    bundles: BundleSource
    certificates: CertificateSource

    def forget(self, pod_uid: str) -> None:
        """The pod's projected volumes are gone."""
        for source in (self.tokens, self.bundles, self.certificates):
            source.forget(pod_uid)


# resource name -> quantity, as in node.status.allocatable, now
Allocatable = Callable[[], Mapping[str, str]]

# this node as the API shows it; None: it does not, or not yet
OwnNode = Callable[[], Node | None]
