"""Which path an object type lives under: group, version, plural, scope. Adding a kind is one line."""

from dataclasses import dataclass

import msgspec
from lightkube.models import (
    authentication_v1,
    authorization_v1,
    certificates_v1,
    certificates_v1beta1,
    coordination_v1,
    core_v1,
    discovery_v1,
    events_v1,
    node_v1,
    resource_v1,
    scheduling_v1,
    storage_v1,
)
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.csi_node import CSINode
from runtimes.kube.whole_number import whole_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One REST resource. `group` is empty for the core group."""

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """URL path of the collection, of one object, or of its subresource. A missing namespace means all of them."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace:
            base = f"{base}/namespaces/{namespace}"
        base = f"{base}/{self.plural}"
        if name:
            base = f"{base}/{name}"
        return f"{base}/{subresource}" if subresource else base


class UnknownKind(LookupError):
    """The type is not in the registry."""


RESOURCES: dict[type[msgspec.Struct], Resource] = {
    core_v1.Pod: Resource(kind="Pod", plural="pods"),
    core_v1.Node: Resource(kind="Node", plural="nodes", namespaced=False),
    core_v1.Namespace: Resource(kind="Namespace", plural="namespaces", namespaced=False),
    core_v1.Service: Resource(kind="Service", plural="services"),
    core_v1.Endpoints: Resource(kind="Endpoints", plural="endpoints"),
    core_v1.Secret: Resource(kind="Secret", plural="secrets"),
    core_v1.ConfigMap: Resource(kind="ConfigMap", plural="configmaps"),
    core_v1.ServiceAccount: Resource(kind="ServiceAccount", plural="serviceaccounts"),
    core_v1.Event: Resource(kind="Event", plural="events"),
    events_v1.Event: Resource(kind="Event", plural="events", group="events.k8s.io"),
    core_v1.PersistentVolume: Resource(kind="PersistentVolume", plural="persistentvolumes", namespaced=False),
    core_v1.PersistentVolumeClaim: Resource(kind="PersistentVolumeClaim", plural="persistentvolumeclaims"),
    coordination_v1.Lease: Resource(kind="Lease", plural="leases", group="coordination.k8s.io"),
    discovery_v1.EndpointSlice: Resource(kind="EndpointSlice", plural="endpointslices", group="discovery.k8s.io"),
    node_v1.RuntimeClass: Resource(kind="RuntimeClass", plural="runtimeclasses", group="node.k8s.io", namespaced=False),
    storage_v1.CSIDriver: Resource(kind="CSIDriver", plural="csidrivers", group="storage.k8s.io", namespaced=False),
    CSINode: Resource(kind="CSINode", plural="csinodes", group="storage.k8s.io", namespaced=False),
    storage_v1.StorageClass: Resource(
        kind="StorageClass", plural="storageclasses", group="storage.k8s.io", namespaced=False
    ),
    storage_v1.VolumeAttachment: Resource(
        kind="VolumeAttachment", plural="volumeattachments", group="storage.k8s.io", namespaced=False
    ),
    storage_v1.VolumeAttributesClass: Resource(
        kind="VolumeAttributesClass", plural="volumeattributesclasses", group="storage.k8s.io", namespaced=False
    ),
    scheduling_v1.PriorityClass: Resource(
        kind="PriorityClass", plural="priorityclasses", group="scheduling.k8s.io", namespaced=False
    ),
    resource_v1.ResourceClaim: Resource(kind="ResourceClaim", plural="resourceclaims", group="resource.k8s.io"),
    resource_v1.ResourceSlice: Resource(
        kind="ResourceSlice", plural="resourceslices", group="resource.k8s.io", namespaced=False
    ),
    certificates_v1.CertificateSigningRequest: Resource(
        kind="CertificateSigningRequest",
        plural="certificatesigningrequests",
        group="certificates.k8s.io",
        namespaced=False,
    ),
    **{
        kind: Resource(
            kind="ClusterTrustBundle",
            plural="clustertrustbundles",
            group="certificates.k8s.io",
            version=version,
            namespaced=False,
        )
        for kind, version in (
            (certificates_v1.ClusterTrustBundle, "v1"),
            (certificates_v1beta1.ClusterTrustBundle, "v1beta1"),
        )
    },
    **{
        kind: Resource(
            kind="PodCertificateRequest", plural="podcertificaterequests", group="certificates.k8s.io", version=version
        )
        for kind, version in (
            (certificates_v1.PodCertificateRequest, "v1"),
            (certificates_v1beta1.PodCertificateRequest, "v1beta1"),
        )
    },
    authentication_v1.TokenReview: Resource(
        kind="TokenReview", plural="tokenreviews", group="authentication.k8s.io", namespaced=False
    ),
    authorization_v1.SubjectAccessReview: Resource(
        kind="SubjectAccessReview", plural="subjectaccessreviews", group="authorization.k8s.io", namespaced=False
    ),
}


def resource_of(kind: type[msgspec.Struct]) -> Resource:
    """Return the resource of an object type. Raises UnknownKind."""
    try:
        return RESOURCES[kind]
    except KeyError:
        raise UnknownKind(f"{kind.__name__} is not a known API resource") from None


def metadata_of(obj: msgspec.Struct) -> ObjectMeta:
    """Return the object's metadata; an object without any gets an empty one, which it keeps."""
    metadata: ObjectMeta | None = getattr(obj, "metadata", None)
    if metadata is None:
        metadata = ObjectMeta()
        obj.metadata = metadata  # type: ignore[attr-defined]  # every registered type has the field
    return metadata


def key_of(obj: msgspec.Struct) -> tuple[str, str]:
    """Return (namespace, name); the namespace is empty for a cluster-scoped object."""
    metadata = metadata_of(obj)
    return metadata.namespace or "", metadata.name or ""


def is_older(version: str | None, known: str | None) -> bool:
    """Whether a resourceVersion is older than a known one. They are opaque, but comparable where both are numbers."""
    first, second = whole_number(version or ""), whole_number(known or "")
    return first is not None and second is not None and first < second
