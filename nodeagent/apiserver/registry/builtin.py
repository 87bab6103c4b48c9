"""The kinds of this API. Adding one is adding an entry here (and hooks in `kinds` if it has rules of its own)."""

from nodeagent.apiserver.registry.columns import cluster, config, devices, pods, storage, usage
from nodeagent.apiserver.registry.event_view import to_core, to_events
from nodeagent.apiserver.registry.resource import STATUS, SUBRESOURCE_WRITE, Resource, Subresource, View

_CONNECT = ("create", "get")
_ALL = ("all",)
_INVOLVED = ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")

_POD_FIELDS = {
    "spec.nodeName": ("spec", "nodeName"),
    "spec.restartPolicy": ("spec", "restartPolicy"),
    "spec.schedulerName": ("spec", "schedulerName"),
    "spec.serviceAccountName": ("spec", "serviceAccountName"),
    "spec.hostNetwork": ("spec", "hostNetwork"),
    "status.phase": ("status", "phase"),
    "status.podIP": ("status", "podIP"),
    "status.podIPs": ("status", "podIPs"),
    "status.nominatedNodeName": ("status", "nominatedNodeName"),
}

PODS = Resource(
    plural="pods",
    kind="Pod",
    short_names=("po",),
    categories=_ALL,
    selectable=_POD_FIELDS,
    aliases={"spec.host": "spec.nodeName"},
    table=pods.PODS,
    generation=True,
    graceful=True,
    subresources=(
        Subresource(name="attach", kind="PodAttachOptions", verbs=_CONNECT),
        Subresource(name="binding", kind="Binding", verbs=("create",), own_body=True),
        Subresource(name="ephemeralcontainers", verbs=SUBRESOURCE_WRITE, stored=True),
        Subresource(name="eviction", kind="Eviction", group="policy", version="v1", verbs=("create",), own_body=True),
        Subresource(name="exec", kind="PodExecOptions", verbs=_CONNECT),
        Subresource(name="log", verbs=("get",)),
        Subresource(name="portforward", kind="PodPortForwardOptions", verbs=_CONNECT),
        Subresource(name="resize", verbs=SUBRESOURCE_WRITE, stored=True),
        STATUS,
    ),
)

NODES = Resource(
    plural="nodes",
    kind="Node",
    namespaced=False,
    short_names=("no",),
    selectable={"spec.unschedulable": ("spec", "unschedulable")},
    table=cluster.NODES,
    status_on_create=True,
    subresources=(
        Subresource(name="proxy", kind="NodeProxyOptions", verbs=("create", "delete", "get", "patch", "update")),
        STATUS,
    ),
)

NAMESPACES = Resource(
    plural="namespaces",
    kind="Namespace",
    namespaced=False,
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    selectable={"status.phase": ("status", "phase")},
    table=cluster.NAMESPACES,
    subresources=(Subresource(name="finalize", verbs=("update",), stored=True), STATUS),
)

EVENTS = Resource(
    plural="events",
    kind="Event",
    short_names=("ev",),
    selectable={
        **{f"involvedObject.{name}": ("involvedObject", name) for name in _INVOLVED},
        "reason": ("reason",),
        "reportingComponent": ("reportingComponent",),
        "source": ("source", "component"),
        "type": ("type",),
    },
    table=cluster.EVENTS,
    create_on_update=True,
)

EVENTS_V1 = Resource(
    plural="events",
    kind="Event",
    group="events.k8s.io",
    short_names=("ev",),
    selectable={"reason": ("reason",), "type": ("type",)},
    aliases={
        **{f"regarding.{name}": f"involvedObject.{name}" for name in _INVOLVED},
        "reportingController": "reportingComponent",
    },
    table=cluster.EVENTS,
    create_on_update=True,
    view=View(storage="events", show=to_events, store=to_core),
)

_CORE = (
    Resource(plural="bindings", kind="Binding", verbs=("create",), answered=True),
    Resource(
        plural="configmaps",
        kind="ConfigMap",
        short_names=("cm",),
        table=config.CONFIG_MAPS,
    ),
    Resource(
        plural="endpoints",
        kind="Endpoints",
        singular="endpoints",
        short_names=("ep",),
        table=config.ENDPOINTS,
        create_on_update=True,
        deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ),
    EVENTS,
    NAMESPACES,
    NODES,
    Resource(
        plural="persistentvolumeclaims",
        kind="PersistentVolumeClaim",
        short_names=("pvc",),
        table=storage.CLAIMS,
        subresources=(STATUS,),
    ),
    Resource(
        plural="persistentvolumes",
        kind="PersistentVolume",
        namespaced=False,
        short_names=("pv",),
        table=storage.VOLUMES,
        subresources=(STATUS,),
    ),
    PODS,
    Resource(
        plural="secrets",
        kind="Secret",
        selectable={"type": ("type",)},
        table=config.SECRETS,
    ),
    Resource(
        plural="serviceaccounts",
        kind="ServiceAccount",
        short_names=("sa",),
        table=config.SERVICE_ACCOUNTS,
        subresources=(
            Subresource(
                name="token",
                kind="TokenRequest",
                group="authentication.k8s.io",
                version="v1",
                verbs=("create",),
                own_body=True,
            ),
        ),
    ),
    Resource(
        plural="services",
        kind="Service",
        short_names=("svc",),
        categories=_ALL,
        selectable={"spec.clusterIP": ("spec", "clusterIP"), "spec.type": ("spec", "type")},
        table=config.SERVICES,
        create_on_update=True,
        subresources=(STATUS,),
    ),
)


def _review(kind: str, group: str, *, namespaced: bool = False) -> Resource:
    return Resource(
        plural=kind.lower() + "s",
        kind=kind,
        group=group,
        namespaced=namespaced,
        verbs=("create",),
        answered=True,
    )


_AUTHN = "authentication.k8s.io"
_AUTHZ = "authorization.k8s.io"

_GROUPS = (
    EVENTS_V1,
    _review("SelfSubjectReview", _AUTHN),
    _review("TokenReview", _AUTHN),
    _review("LocalSubjectAccessReview", _AUTHZ, namespaced=True),
    _review("SelfSubjectAccessReview", _AUTHZ),
    _review("SelfSubjectRulesReview", _AUTHZ),
    _review("SubjectAccessReview", _AUTHZ),
    Resource(
        plural="certificatesigningrequests",
        kind="CertificateSigningRequest",
        group="certificates.k8s.io",
        namespaced=False,
        short_names=("csr",),
        selectable={"spec.signerName": ("spec", "signerName")},
        table=cluster.CERTIFICATE_REQUESTS,
        subresources=(Subresource(name="approval", verbs=SUBRESOURCE_WRITE, stored=True), STATUS),
    ),
    Resource(
        plural="clustertrustbundles",
        kind="ClusterTrustBundle",
        group="certificates.k8s.io",
        version="v1beta1",
        namespaced=False,
        selectable={"spec.signerName": ("spec", "signerName")},
    ),
    Resource(
        plural="podcertificaterequests",
        kind="PodCertificateRequest",
        group="certificates.k8s.io",
        version="v1beta1",
        selectable={
            "spec.nodeName": ("spec", "nodeName"),
            "spec.podName": ("spec", "podName"),
            "spec.signerName": ("spec", "signerName"),
        },
        subresources=(STATUS,),
    ),
    Resource(
        plural="leases",
        kind="Lease",
        group="coordination.k8s.io",
        table=cluster.LEASES,
        create_on_update=True,
        unconditional_update=False,
    ),
    Resource(
        plural="endpointslices",
        kind="EndpointSlice",
        group="discovery.k8s.io",
        table=config.ENDPOINT_SLICES,
    ),
    Resource(
        plural="nodes",
        kind="NodeMetrics",
        group="metrics.k8s.io",
        version="v1beta1",
        namespaced=False,
        verbs=("get", "list"),
        measured=True,
        table=usage.NODES,
    ),
    Resource(
        plural="pods",
        kind="PodMetrics",
        group="metrics.k8s.io",
        version="v1beta1",
        verbs=("get", "list"),
        measured=True,
        table=usage.PODS,
    ),
    Resource(
        plural="runtimeclasses",
        kind="RuntimeClass",
        group="node.k8s.io",
        namespaced=False,
        table=cluster.RUNTIME_CLASSES,
        unconditional_update=False,
    ),
    Resource(
        plural="deviceclasses",
        kind="DeviceClass",
        group="resource.k8s.io",
        namespaced=False,
        table=devices.CLASSES,
        generation=True,
    ),
    Resource(
        plural="resourceclaims",
        kind="ResourceClaim",
        group="resource.k8s.io",
        table=devices.CLAIMS,
        subresources=(STATUS,),
    ),
    Resource(
        plural="resourceclaimtemplates",
        kind="ResourceClaimTemplate",
        group="resource.k8s.io",
        table=devices.TEMPLATES,
    ),
    Resource(
        plural="resourceslices",
        kind="ResourceSlice",
        group="resource.k8s.io",
        namespaced=False,
        selectable={"spec.driver": ("spec", "driver"), "spec.nodeName": ("spec", "nodeName")},
        table=devices.SLICES,
        generation=True,
    ),
    Resource(
        plural="poddisruptionbudgets",
        kind="PodDisruptionBudget",
        group="policy",
        short_names=("pdb",),
        table=cluster.DISRUPTION_BUDGETS,
        generation=True,
        subresources=(STATUS,),
    ),
    Resource(
        plural="priorityclasses",
        kind="PriorityClass",
        group="scheduling.k8s.io",
        namespaced=False,
        short_names=("pc",),
        table=cluster.PRIORITY_CLASSES,
    ),
    Resource(
        plural="csidrivers",
        kind="CSIDriver",
        group="storage.k8s.io",
        namespaced=False,
        table=storage.CSI_DRIVERS,
        unconditional_update=False,
    ),
    Resource(
        plural="csinodes",
        kind="CSINode",
        group="storage.k8s.io",
        namespaced=False,
        table=storage.CSI_NODES,
        unconditional_update=False,
    ),
    Resource(
        plural="storageclasses",
        kind="StorageClass",
        group="storage.k8s.io",
        namespaced=False,
        short_names=("sc",),
        table=storage.STORAGE_CLASSES,
    ),
    Resource(
        plural="volumeattachments",
        kind="VolumeAttachment",
        group="storage.k8s.io",
        namespaced=False,
        table=storage.ATTACHMENTS,
        subresources=(STATUS,),
        unconditional_update=False,
    ),
    Resource(
        plural="volumeattributesclasses",
        kind="VolumeAttributesClass",
        group="storage.k8s.io",
        namespaced=False,
        short_names=("vac",),
        table=storage.ATTRIBUTES_CLASSES,
    ),
)

RESOURCES: tuple[Resource, ...] = (*_CORE, *_GROUPS)
