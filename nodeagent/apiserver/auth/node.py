"""What a node may do: read what its pods need, write what it owns."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from nodeagent.apiserver.auth.attributes import ALLOW, Attributes, Decision
from nodeagent.apiserver.auth.graph import Graph
from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key

NODES_GROUP = "system:nodes"
_PREFIX = "system:node:"
LEASE_NAMESPACE = "kube-node-lease"
_READ = frozenset({"get", "list", "watch"})
_WRITE = frozenset({"create", "update", "patch"})
_OPEN_READ = frozenset(
    {
        "services",
        "runtimeclasses.node.k8s.io",
        "csidrivers.storage.k8s.io",
        "clustertrustbundles.certificates.k8s.io",
    }
)


def node_of(user: UserInfo) -> str:
    """The node that `user` is; "" for anybody else."""
    if NODES_GROUP in user.groups and user.name.startswith(_PREFIX):
        return user.name.removeprefix(_PREFIX)
    return ""


def _no(reason: str) -> Decision:
    return Decision(False, reason)


class NodeAuthorizer:
    """Decides by the pods bound to the node. What a permitted write may contain is `restriction`'s business."""

    def __init__(self, store: Store, graph: Graph) -> None:
        self._store = store
        self._graph = graph
        self._rules: Mapping[str, Callable[[str, Attributes], Decision]] = {
            "nodes": self._own_node,
            "pods": self._pods,
            "secrets": self._named_related,
            "configmaps": self._named_related,
            "persistentvolumeclaims": self._claims,
            "persistentvolumes": self._related,
            "volumeattachments.storage.k8s.io": self._attachments,
            "serviceaccounts": self._service_accounts,
            "leases.coordination.k8s.io": self._lease,
            "csinodes.storage.k8s.io": self._csi_node,
            "resourceclaims.resource.k8s.io": self._resource_claims,
            "resourceslices.resource.k8s.io": self._resource_slices,
            "endpoints": lambda node, asked: self._only(asked, {"get"}),
            "events": lambda node, asked: self._only(asked, _WRITE),
            "certificatesigningrequests.certificates.k8s.io": lambda node, asked: self._only(asked, _READ | {"create"}),
            "podcertificaterequests.certificates.k8s.io": self._pod_certificates,
            "tokenreviews.authentication.k8s.io": lambda node, asked: self._only(asked, {"create"}),
            "subjectaccessreviews.authorization.k8s.io": lambda node, asked: self._only(asked, {"create"}),
            "localsubjectaccessreviews.authorization.k8s.io": lambda node, asked: self._only(asked, {"create"}),
            **{resource: lambda node, asked: self._only(asked, _READ) for resource in _OPEN_READ},
        }

    def authorize(self, asked: Attributes) -> Decision:
        node = node_of(asked.user)
        rule = self._rules.get(asked.resource_id)
        return rule(node, asked) if rule is not None else _no("")

    def _only(self, asked: Attributes, verbs: frozenset[str] | set[str]) -> Decision:
        return ALLOW if asked.verb in verbs and not asked.subresource else _no("")

    def _own_node(self, node: str, asked: Attributes) -> Decision:
        if asked.verb in _READ and not asked.subresource:
            if asked.single_name == node:
                return ALLOW
            return _no(f"node '{node}' cannot read all nodes, only its own Node object")
        if asked.subresource not in ("", "status") or asked.verb not in _WRITE:
            return _no("")
        if asked.verb == "create":
            return ALLOW if not asked.subresource else _no("")
        return ALLOW if asked.name == node else _no(f"node '{node}' may only change its own Node object")

    def _pods(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource:
            writes = {"status": {"update", "patch"}, "eviction": {"create"}}.get(asked.subresource, set())
            return self._own_pod(node, asked) if asked.verb in writes else _no("")
        if asked.verb in ("list", "watch"):
            if self._selects_own(node, asked):
                return ALLOW
            if asked.single_name:
                return self._own_pod(node, replace(asked, verb="get", name=asked.single_name))
            return _no("can only list/watch pods with spec.nodeName field selector")
        if asked.verb == "create":
            return ALLOW
        return self._own_pod(node, asked) if asked.verb in ("get", "delete") else _no("")

    def _own_pod(self, node: str, asked: Attributes) -> Decision:
        stored = self._store.get("pods", Key(asked.namespace, asked.name))
        if stored is None:
            # a pod that is gone is nobody's: it may not be read (403); a write is answered with 404, as for everybody
            return self._unrelated(node) if asked.verb == "get" else ALLOW
        return ALLOW if stored.index.fields.get("spec.nodeName") == node else self._unrelated(node)

    def _selects_own(self, node: str, asked: Attributes) -> bool:
        return asked.selection is not None and asked.selection.required("spec.nodeName") == node

    def _unrelated(self, node: str) -> Decision:
        return _no(f"no relationship found between node '{node}' and this object")

    def _named_related(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in _READ or asked.subresource:
            return _no("cannot read subresource" if asked.verb in _READ else "can only read resources of this type")
        if not asked.namespace:
            return _no("can only read namespaced object of this type")
        return self._is_related(node, asked)

    def _is_related(self, node: str, asked: Attributes) -> Decision:
        name = asked.single_name
        if not name:
            return _no("No Object name found")
        if self._graph.needs(node, asked.resource, asked.namespace, name):
            return ALLOW
        return self._unrelated(node)

    def _related(self, node: str, asked: Attributes) -> Decision:
        if asked.verb != "get" or asked.subresource:
            return _no("can only get individual resources of this type")
        return self._is_related(node, asked)

    def _claims(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource == "status" and asked.verb in ("update", "patch"):
            return self._is_related(node, asked)
        return self._related(node, asked)

    def _attachments(self, node: str, asked: Attributes) -> Decision:
        if asked.verb != "get" or asked.subresource:
            return _no("can only get individual resources of this type")
        stored = self._store.get("volumeattachments.storage.k8s.io", Key("", asked.name))
        if stored is not None and (stored.decode().get("spec") or {}).get("nodeName") == node:
            return ALLOW
        return self._unrelated(node)

    def _resource_claims(self, node: str, asked: Attributes) -> Decision:
        """Those that are reserved for pods of the node."""
        if asked.verb != "get" or asked.subresource:
            return _no("can only get individual resources of this type")
        stored = self._store.get(asked.resource_id, Key(asked.namespace, asked.name))
        for consumer in (stored.decode().get("status") or {}).get("reservedFor") or () if stored is not None else ():
            pod = self._store.get("pods", Key(asked.namespace, consumer.get("name", "")))
            own = pod is not None and pod.index.fields.get("spec.nodeName") == node
            if own and pod is not None and pod.index.uid == consumer.get("uid"):
                return ALLOW
        return self._unrelated(node)

    def _resource_slices(self, node: str, asked: Attributes) -> Decision:
        """Its own: drivers that run with the node's rights write them, the agent removes what they left."""
        if asked.subresource:
            return _no("")
        if asked.verb in ("list", "watch", "deletecollection"):
            why = "can only list/watch/deletecollection resourceslices with spec.nodeName field selector"
            return ALLOW if self._selects_own(node, asked) else _no(why)
        if asked.verb == "create":
            return ALLOW
        stored = self._store.get(asked.resource_id, Key("", asked.name))
        own = stored is not None and stored.index.fields.get("spec.nodeName") == node
        return ALLOW if own and asked.verb in ("get", "update", "patch", "delete") else self._unrelated(node)

    def _pod_certificates(self, node: str, asked: Attributes) -> Decision:
        if asked.subresource:
            return _no("")
        if asked.verb in ("list", "watch"):
            why = "can only list/watch podcertificaterequests with spec.nodeName field selector"
            return ALLOW if self._selects_own(node, asked) else _no(why)
        if asked.verb == "get":
            stored = self._store.get(asked.resource_id, Key(asked.namespace, asked.name))
            own = stored is not None and stored.index.fields.get("spec.nodeName") == node
            return ALLOW if own else self._unrelated(node)
        return ALLOW if asked.verb == "create" else _no("")

    def _service_accounts(self, node: str, asked: Attributes) -> Decision:
        allowed = (
            asked.verb == "create" if asked.subresource == "token" else asked.verb == "get" and not asked.subresource
        )
        return self._is_related(node, asked) if allowed else _no("can only get individual resources of this type")

    def _lease(self, node: str, asked: Attributes) -> Decision:
        if asked.namespace != LEASE_NAMESPACE:
            return _no(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
        if asked.verb not in ("get", "create", "update", "patch", "delete") or asked.subresource:
            return _no("can only get, create, update, patch, or delete a node lease")
        if asked.verb != "create" and asked.name != node:
            return _no("can only access node lease with the same name as the requesting node")
        return ALLOW

    def _csi_node(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in ("get", "create", "update", "patch", "delete") or asked.subresource:
            return _no("can only get, create, update, patch, or delete a CSINode")
        if asked.verb != "create" and asked.name != node:
            return _no("can only access CSINode with the same name as the requesting node")
        return ALLOW
