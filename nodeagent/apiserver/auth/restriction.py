"""What a node's permitted writes may contain (the NodeRestriction admission rules)."""

import base64
from typing import Any

import msgspec
from cryptography import x509

from nodeagent.apiserver.auth.graph import references
from nodeagent.apiserver.auth.node import LEASE_NAMESPACE, node_of
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.signers import KUBELET_CLIENT, KUBELET_SERVING, common_names
from nodeagent.apiserver.objects.context import Context
from nodeagent.podspec.annotations import MIRROR
from runtimes.kube.json_object import JsonObject

_OWN_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
    }
)
_OWN_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_SYSTEM_DOMAINS = ("kubernetes.io", "k8s.io")
_NODE_SIGNERS = frozenset({KUBELET_CLIENT, KUBELET_SERVING})
_RESTRICTED = "node-restriction.kubernetes.io"
_CLAIM_STATUS = frozenset({"capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"})


class NodeRestriction:
    """Implements `objects.engine.Restriction`: nodes are checked, nobody else is."""

    def check(
        self, ctx: Context, operation: str, subresource: str | None, new: JsonObject | None, old: JsonObject | None
    ) -> None:
        node = node_of(ctx.user)
        if not node:
            return
        match ctx.resource:
            case "nodes":
                _node(node, ctx, operation, new, old)
            case "pods":
                _pod(node, ctx, operation, subresource, new, old)
            case "persistentvolumeclaims":
                _claim(ctx, new, old)
            case "certificatesigningrequests.certificates.k8s.io":
                _certificate(ctx, operation, new)
            case "podcertificaterequests.certificates.k8s.io":
                _pod_certificate(node, ctx, new)
            case "resourceslices.resource.k8s.io":
                if new is not None and (new.get("spec") or {}).get("nodeName") != node:
                    raise _refused(ctx, "can only create ResourceSlices with spec.nodeName set to the requesting node")
            case "leases.coordination.k8s.io" | "csinodes.storage.k8s.io":
                if ctx.name != node or (ctx.namespace and ctx.namespace != LEASE_NAMESPACE):
                    raise _refused(ctx, f"can only access {ctx.resource} with the same name as the requesting node")


def _refused(ctx: Context, why: str) -> ApiError:
    return ApiError.forbidden(ctx.resource, ctx.name, why)


def _node(node: str, ctx: Context, operation: str, new: JsonObject | None, old: JsonObject | None) -> None:
    if ctx.name != node:
        raise _refused(ctx, f'node "{node}" is not allowed to modify node "{ctx.name}"')
    if new is None:
        raise _refused(ctx, f'node "{node}" is not allowed to delete itself')
    labels = new["metadata"].get("labels") or {}
    before = (old["metadata"].get("labels") or {}) if old else {}
    changed = {key for key in {*labels, *before} if labels.get(key) != before.get(key)}
    bad = sorted(key for key in changed if not may_label(key))
    if bad and old is None:
        raise _refused(ctx, f'node "{node}" is not allowed to set the following labels: {", ".join(bad)}')
    if old is None:
        return
    if (new.get("spec") or {}).get("taints") != (old.get("spec") or {}).get("taints"):
        raise _refused(ctx, f'node "{node}" is not allowed to modify taints')
    if bad:
        raise _refused(ctx, f"is not allowed to modify labels: {', '.join(bad)}")
    if new["metadata"].get("ownerReferences") != old["metadata"].get("ownerReferences"):
        raise _refused(ctx, f'node "{node}" is not allowed to modify ownerReferences')


def may_label(key: str) -> bool:
    """Whether a node may set, change or drop this label of itself."""
    domain = key.partition("/")[0] if "/" in key else ""
    if domain == _RESTRICTED or domain.endswith("." + _RESTRICTED):
        return False
    if key in _OWN_LABELS or any(domain == own or domain.endswith("." + own) for own in _OWN_DOMAINS):
        return True
    return not any(domain == system or domain.endswith("." + system) for system in _SYSTEM_DOMAINS)


def _pod(
    node: str, ctx: Context, operation: str, subresource: str | None, new: JsonObject | None, old: JsonObject | None
) -> None:
    if operation == "create" and new is not None:
        _mirror_pod(node, ctx, new)
    elif subresource == "status" and new is not None and old is not None:
        _own(node, ctx, old)
        if (new["metadata"].get("labels") or {}) != (old["metadata"].get("labels") or {}):
            raise _refused(ctx, f'node "{node}" cannot update labels through pod status')
        claims = "resourceClaimStatuses"
        if (new.get("status") or {}).get(claims) != (old.get("status") or {}).get(claims):
            raise _refused(ctx, f'node "{node}" cannot update resource claim statuses')
    elif operation == "delete" and old is not None:
        _own(node, ctx, old)


def _certificate(ctx: Context, operation: str, new: JsonObject | None) -> None:
    """A node's key stands for that node only."""
    spec = (new or {}).get("spec") or {}
    if operation != "create" or spec.get("signerName") not in _NODE_SIGNERS:
        return
    try:
        names = common_names(x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or "")))
    except ValueError:
        return  # refused as what it is
    if names != [ctx.user.name]:
        raise _refused(ctx, f"can only create a node CSR with CN={ctx.user.name}")


def _pod_certificate(node: str, ctx: Context, request: JsonObject | None) -> None:
    """For a pod that runs here, as it is: what a signer vouches for is what the node may say."""
    spec = (request or {}).get("spec") or {}
    pod = ctx.get("pods", ctx.namespace, str(spec.get("podName")))
    if pod is None or pod["metadata"]["uid"] != spec.get("podUID"):
        raise _refused(ctx, "the pod that the request is for does not exist, or is another one")
    _own(node, ctx, pod)
    own = ctx.get("nodes", "", node)
    if spec.get("nodeName") != node or own is None or own["metadata"]["uid"] != spec.get("nodeUID"):
        raise _refused(ctx, f'node "{node}" can only create requests that name itself')
    if spec.get("serviceAccountName") != (pod.get("spec") or {}).get("serviceAccountName"):
        raise _refused(ctx, "the pod runs as another service account than the request names")


def _own(node: str, ctx: Context, pod: JsonObject) -> None:
    if (pod.get("spec") or {}).get("nodeName") != node:
        raise _refused(ctx, f'node "{node}" can only change pods with spec.nodeName set to itself')


def _mirror_pod(node: str, ctx: Context, pod: JsonObject) -> None:
    meta, spec = pod["metadata"], pod.get("spec") or {}
    if MIRROR not in (meta.get("annotations") or {}):
        raise _refused(ctx, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods')
    if spec.get("nodeName") != node:
        raise _refused(ctx, f'node "{node}" can only create pods with spec.nodeName set to itself')
    _mirror_owner(node, ctx, meta.get("ownerReferences") or [])
    try:
        named = sorted({resource for resource, _, _ in references(pod)} | _indirect(spec))
    except msgspec.ValidationError as error:
        raise _refused(ctx, f'node "{node}" can not create pods that cannot be read: {error}') from error
    if named:
        raise _refused(ctx, f'node "{node}" can not create pods that reference {", ".join(named)}')


def _indirect(spec: JsonObject) -> set[str]:
    """What a pod refers to without being a reader of it: a mirror that claims devices would pass for one that was scheduled
    (CVE-2025-4563).
    """
    found = {"resourceclaims"} if spec.get("resourceClaims") else set()
    for volume in spec.get("volumes") or ():
        if volume.get("csi"):
            found.add("csidrivers")
        for source in (volume.get("projected") or {}).get("sources") or ():
            kinds = {
                "serviceAccountToken": "serviceaccounts",
                "clusterTrustBundle": "clustertrustbundles",
                "podCertificate": "podcertificates",
            }
            found |= {resource for field, resource in kinds.items() if source.get(field)}
    return found


def _mirror_owner(node: str, ctx: Context, owners: list[Any]) -> None:
    if len(owners) != 1:
        raise _refused(ctx, f'node "{node}" can only create pods with a single owner reference set to itself')
    owner = owners[0]
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        raise _refused(ctx, f'node "{node}" can only create pods with an owner reference set to itself')
    if not owner.get("controller"):
        raise _refused(ctx, f'node "{node}" can only create pods with a controller owner reference set to itself')
    if owner.get("blockOwnerDeletion"):
        raise _refused(ctx, f'node "{node}" must not set blockOwnerDeletion on an owner reference')
    own = ctx.get("nodes", "", node)
    if own is None or own["metadata"]["uid"] != owner.get("uid"):
        raise _refused(ctx, f'node "{node}" UID mismatch: the owner reference is of another Node')


def _claim(ctx: Context, new: JsonObject | None, old: JsonObject | None) -> None:
    if new is None or old is None:
        return
    after, before = new.get("status") or {}, old.get("status") or {}
    changed = {key for key in {*after, *before} if after.get(key) != before.get(key)} - _CLAIM_STATUS
    if changed or new.get("metadata", {}).get("labels") != old["metadata"].get("labels"):
        raise _refused(ctx, "a node may only change capacity and conditions in the status of a claim")
