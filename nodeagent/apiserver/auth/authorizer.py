"""Authorization. There are no RBAC objects; who has which role is fixed:

- group `system:masters`: everything;
- a node (`system:node:NAME`): what `node.NodeAuthorizer` says; with `proxying_nodes` also `roles.STANDALONE_NODE`, as the
  agent of standalone mode leads Services itself;
- the server's own client towards nodes: `system:kubelet-api-admin`;
- what makes volumes for claims (`system:storage-provisioner`): volumes, and the claims' side of it;
- a service account: what its annotation `nodeagent.dev/cluster-role` says: `cluster-admin` or `view`. Only those who may
  write service accounts (masters, cluster-admins) can hand that out;
- everybody who is authenticated: discovery, schemas, and questions about themselves;
- service accounts: where their tokens come from;
- bootstrap tokens (group `system:bootstrappers`): certificate requests, theirs and others';
- group `system:monitoring`: the server's metrics;
- everybody at all: health and version.

What each role may do is data: `roles`.
"""

from collections.abc import Iterator

from nodeagent.apiserver.auth import roles
from nodeagent.apiserver.auth.attributes import ALLOW, DENY, Attributes, Decision
from nodeagent.apiserver.auth.identity import AUTHENTICATED
from nodeagent.apiserver.auth.node import NodeAuthorizer, node_of
from nodeagent.apiserver.auth.rules import Rule, allowed
from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.pki import KUBELET_CLIENT_USER, STORAGE_USER
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key

ROLE_ANNOTATION = "nodeagent.dev/cluster-role"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_BY_USER = {KUBELET_CLIENT_USER: roles.KUBELET_API_ADMIN, STORAGE_USER: roles.STORAGE_PROVISIONER}


class Authorizer:
    """Pure reads of the store; no state of its own. `proxying_nodes`: nodes have the rights of a kube-proxy, too."""

    def __init__(self, store: Store, nodes: NodeAuthorizer, *, proxying_nodes: bool = False) -> None:
        self._store = store
        self._nodes = nodes
        self._of_nodes = roles.STANDALONE_NODE if proxying_nodes else ()

    def authorize(self, asked: Attributes) -> Decision:
        if allowed(self.rules_of(asked.user), asked):
            return ALLOW
        if asked.path or AUTHENTICATED not in asked.user.groups or not node_of(asked.user):
            return DENY
        return self._nodes.authorize(asked)

    def rules_of(self, user: UserInfo) -> tuple[Rule, ...]:
        """All rights of `user` that are lists of rules. What a node may do besides is decided object by object."""
        return tuple(self._rules_of(user))

    def _rules_of(self, user: UserInfo) -> Iterator[Rule]:
        yield from roles.EVERYBODY
        for group in dict.fromkeys(user.groups):
            yield from roles.BY_GROUP.get(group, ())
        if AUTHENTICATED in user.groups:
            yield from _BY_USER.get(user.name, ())
            if node_of(user):
                yield from self._of_nodes
            yield from roles.BY_ANNOTATION.get(self.role(user.name), ())

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
