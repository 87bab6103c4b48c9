"""Which hooks belong to which resource. Adding a kind is one class and one line here."""

from nodeagent.apiserver.contract import KindHooks
from nodeagent.apiserver.kinds.base import Kind
from nodeagent.apiserver.kinds.config import ConfigMapKind, SecretKind
from nodeagent.apiserver.kinds.devices import (
    DeviceClassKind,
    ResourceClaimKind,
    ResourceClaimTemplateKind,
    ResourceSliceKind,
)
from nodeagent.apiserver.kinds.disruption_budgets import DisruptionBudgetKind
from nodeagent.apiserver.kinds.namespaces import NamespaceKind
from nodeagent.apiserver.kinds.network import EndpointsKind, EndpointSliceKind, ServiceKind
from nodeagent.apiserver.kinds.nodes import NodeKind
from nodeagent.apiserver.kinds.pod_identity import ClusterTrustBundleKind, PodCertificateRequestKind
from nodeagent.apiserver.kinds.pods.hooks import PodKind
from nodeagent.apiserver.kinds.priorityclass import PriorityClassKind
from nodeagent.apiserver.kinds.small import (
    CertificateSigningRequestKind,
    EventKind,
    LeaseKind,
    RuntimeClassKind,
    ServiceAccountKind,
)
from nodeagent.apiserver.kinds.storage import (
    CSIDriverKind,
    CSINodeKind,
    PersistentVolumeClaimKind,
    PersistentVolumeKind,
    StorageClassKind,
    VolumeAttachmentKind,
    VolumeAttributesClassKind,
)

_KINDS: dict[str, Kind] = {
    "certificatesigningrequests.certificates.k8s.io": CertificateSigningRequestKind(),
    "clustertrustbundles.certificates.k8s.io": ClusterTrustBundleKind(),
    "configmaps": ConfigMapKind(),
    "csidrivers.storage.k8s.io": CSIDriverKind(),
    "csinodes.storage.k8s.io": CSINodeKind(),
    "deviceclasses.resource.k8s.io": DeviceClassKind(),
    "endpoints": EndpointsKind(),
    "endpointslices.discovery.k8s.io": EndpointSliceKind(),
    "events": EventKind(),
    "leases.coordination.k8s.io": LeaseKind(),
    "namespaces": NamespaceKind(),
    "nodes": NodeKind(),
    "persistentvolumeclaims": PersistentVolumeClaimKind(),
    "persistentvolumes": PersistentVolumeKind(),
    "podcertificaterequests.certificates.k8s.io": PodCertificateRequestKind(),
    "pods": PodKind(),
    "poddisruptionbudgets.policy": DisruptionBudgetKind(),
    "priorityclasses.scheduling.k8s.io": PriorityClassKind(),
    "resourceclaims.resource.k8s.io": ResourceClaimKind(),
    "resourceclaimtemplates.resource.k8s.io": ResourceClaimTemplateKind(),
    "resourceslices.resource.k8s.io": ResourceSliceKind(),
    "runtimeclasses.node.k8s.io": RuntimeClassKind(),
    "secrets": SecretKind(),
    "serviceaccounts": ServiceAccountKind(),
    "services": ServiceKind(),
    "storageclasses.storage.k8s.io": StorageClassKind(),
    "volumeattachments.storage.k8s.io": VolumeAttachmentKind(),
    "volumeattributesclasses.storage.k8s.io": VolumeAttributesClassKind(),
}
_PLAIN = Kind()


def hooks_for(resource: str) -> KindHooks:
    """The hooks of `plural` (core group) or `plural.group`. A kind without rules of its own still needs its namespace."""
    return _KINDS.get(resource, _PLAIN)
