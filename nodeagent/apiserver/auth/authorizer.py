"""Authorization. There are no RBAC objects; the rules are fixed and few:

- group ``system:masters``: everything;
- a node (``system:node:NAME``): what ``node.NodeAuthorizer`` says;
- the server's own client towards nodes: the nodes' subresources;
- a service account: what its annotation ``nodeagent.dev/cluster-role`` says: ``cluster-admin``, or ``view`` (read everything
  but secrets). Only those who may write service accounts (masters, cluster-admins) can hand that out;
- everybody who is authenticated: discovery, schemas, and questions about themselves;
- group ``system:monitoring``: the server's metrics;
- everybody at all: health and version.
"""

from __future__ import annotations

from typing import Final

from nodeagent.apiserver.auth.attributes import ALLOW, DENY, Attributes, Decision
from nodeagent.apiserver.auth.identity import AUTHENTICATED
from nodeagent.apiserver.auth.node import NodeAuthorizer, node_of
from nodeagent.apiserver.pki import KUBELET_CLIENT_USER, MASTERS
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key

ROLE_ANNOTATION: Final = "nodeagent.dev/cluster-role"
READ: Final = frozenset({"get", "list", "watch"})
MONITORING: Final = "system:monitoring"
METRICS_PATH: Final = "/metrics"
_PUBLIC_PATHS: Final = frozenset({"/healthz", "/livez", "/readyz", "/version"})
_DISCOVERY_ROOTS: Final = ("/api", "/apis", "/openapi", "/openid", "/.well-known")
_SELF: Final = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_VIEWER_BLIND: Final = frozenset({"secrets"})


class Authorizer:
    """Pure reads of the store; no state of its own."""

    def __init__(self, store: Store, nodes: NodeAuthorizer) -> None:
        self._store = store
        self._nodes = nodes

    def authorize(self, asked: Attributes) -> Decision:
        user = asked.user
        if MASTERS in user.groups:
            return ALLOW
        if asked.path:
            return ALLOW if self.role(user.name) == "cluster-admin" else _path(asked)
        if AUTHENTICATED not in user.groups:
            return DENY
        if asked.verb == "create" and asked.resource in _SELF:
            return ALLOW
        if node_of(user):
            return self._nodes.authorize(asked)
        if user.name == KUBELET_CLIENT_USER:
            return ALLOW if asked.resource_id == "nodes" and asked.subresource else DENY
        return self._by_role(asked)

    def _by_role(self, asked: Attributes) -> Decision:
        match self.role(asked.user.name):
            case "cluster-admin":
                return ALLOW
            case "view" if asked.verb in READ and asked.resource not in _VIEWER_BLIND and not _streams(asked):
                return ALLOW
        return DENY

    def role(self, user_name: str) -> str:
        """The role of a service account, "" for none and for any other user."""
        namespace, colon, name = user_name.removeprefix(_SERVICE_ACCOUNT).partition(":")
        if not user_name.startswith(_SERVICE_ACCOUNT) or not colon:
            return ""
        stored = self._store.get("serviceaccounts", Key(namespace, name))
        if stored is None:
            return ""
        annotations = stored.decode()["metadata"].get("annotations") or {}
        return str(annotations.get(ROLE_ANNOTATION) or "")


def _path(asked: Attributes) -> Decision:
    if asked.verb != "get":
        return DENY
    if asked.path.rstrip("/") in _PUBLIC_PATHS or asked.path.split("/")[1] in ("healthz", "livez", "readyz"):
        return ALLOW
    if AUTHENTICATED not in asked.user.groups:
        return DENY
    if asked.path == METRICS_PATH:
        return ALLOW if MONITORING in asked.user.groups else DENY
    return ALLOW if any(asked.path == r or asked.path.startswith(r + "/") for r in _DISCOVERY_ROOTS) else DENY


def _streams(asked: Attributes) -> bool:
    """Subresources whose GET does more than read."""
    return asked.subresource in ("exec", "attach", "portforward", "proxy")
