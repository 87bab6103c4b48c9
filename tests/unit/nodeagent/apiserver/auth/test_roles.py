"""Every verb on every resource and subresource there is, for each role: nothing more than the bootstrap policy gives."""

from dataclasses import replace
from typing import Any

import pytest

from nodeagent.apiserver.auth.attributes import Attributes
from nodeagent.apiserver.auth.authorizer import Authorizer
from nodeagent.apiserver.auth.graph import Graph
from nodeagent.apiserver.auth.node import NodeAuthorizer
from nodeagent.apiserver.auth.roles import AUDIENCE_VERB
from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.registry.builtin import RESOURCES

Cluster = Any
AUTHENTICATED = "system:authenticated"
VERBS = (
    *("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"),
    *("proxy", "impersonate", "approve", "sign", "bind", "escalate", "*"),
)
READ = {"get", "list", "watch"}
# what a node's endpoint asks about (nodeagent/server/auth.py)
ENDPOINT = ["checkpoint", "configz", "healthz", "log", "metrics", "pods", "proxy", "statusz", "stats"]
NAMES = ("users", "groups", "serviceaccounts", "uids", "userextras/scopes", "signers", "clusterroles", "*", "*/*")
Right = tuple[str, str, str]

VIEWED = {
    ("", "bindings"),
    ("", "configmaps"),
    ("", "endpoints"),
    ("", "events"),
    ("", "namespaces"),
    ("", "namespaces/status"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumeclaims/status"),
    ("", "pods"),
    ("", "pods/log"),
    ("", "pods/status"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("", "services/status"),
    ("discovery.k8s.io", "endpointslices"),
    ("metrics.k8s.io", "nodes"),
    ("metrics.k8s.io", "pods"),
    ("policy", "poddisruptionbudgets"),
    ("policy", "poddisruptionbudgets/status"),
}
BASIC = {
    ("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
    ("create", "authorization.k8s.io", "selfsubjectrulesreviews"),
    ("create", "authentication.k8s.io", "selfsubjectreviews"),
}
ANY = {*VERBS}


def everything() -> set[tuple[str, str]]:
    found = {("", f"nodes/{name}") for name in ENDPOINT}
    for group in ("", "authentication.k8s.io", "certificates.k8s.io", "rbac.authorization.k8s.io", "*"):
        found |= {(group, name) for name in NAMES}
    found |= {
        ("certificates.k8s.io", f"certificatesigningrequests/{name}") for name in ("nodeclient", "selfnodeclient")
    }
    for resource in RESOURCES:
        found.add((resource.group, resource.plural))
        found |= {(resource.group, f"{resource.plural}/{sub.name}") for sub in resource.subresources}
    return found


def rights(authorizer: Authorizer, user: UserInfo) -> set[Right]:
    """All that is allowed of each verb on everything, for an object that is nobody's."""
    found = set()
    for group, resource in everything():
        plural, _, subresource = resource.partition("/")
        for verb in VERBS:
            asked = Attributes(
                user=user,
                verb=verb,
                group=group,
                resource=plural,
                subresource=subresource,
                namespace="default",
                name="foreign",
            )
            if authorizer.authorize(asked).allowed:
                found.add((verb, group, resource))
    return found


@pytest.fixture
async def authorizer(cluster: Cluster) -> Authorizer:
    annotations = {"nodeagent.dev/cluster-role": "view"}
    await cluster.create("serviceaccounts", {"metadata": {"name": "viewer", "annotations": annotations}})
    return Authorizer(cluster.store, NodeAuthorizer(cluster.store, Graph(cluster.store)))


async def test_view(authorizer: Authorizer) -> None:
    """view reads what is its users': no node with its logs and configuration, no volume, no secret, nothing that runs."""
    viewer = UserInfo(name="system:serviceaccount:default:viewer", groups=("system:serviceaccounts", AUTHENTICATED))
    viewed = {(verb, group, resource) for group, resource in VIEWED for verb in READ}
    assert rights(authorizer, viewer) == viewed | BASIC


async def test_kubelet_client(authorizer: Authorizer) -> None:
    """The server's client towards nodes is system:kubelet-api-admin: it reads nodes and uses their endpoint, no more but what
    `nodeagent status` asks for."""
    client = UserInfo(name="kube-apiserver-kubelet-client", groups=(AUTHENTICATED,))
    used = {"configz", "healthz", "log", "metrics", "pods", "proxy", "stats"}
    expected = {(verb, "", f"nodes/{name}") for name in used for verb in ANY}
    expected |= {(verb, "", "nodes") for verb in (*READ, "proxy")}
    expected.add(("get", "", "nodes/statusz"))
    assert rights(authorizer, client) == expected | BASIC


async def test_storage_provisioner(authorizer: Authorizer) -> None:
    """What makes volumes for claims: all of volumes, of claims what leads to a volume, nothing of pods or secrets."""
    user = UserInfo(name="system:storage-provisioner", groups=(AUTHENTICATED,))
    expected = {(verb, "", "persistentvolumes") for verb in (*READ, "create", "patch", "delete")}
    expected |= {(verb, "", "persistentvolumeclaims") for verb in (*READ, "patch")}
    expected |= {("patch", "", "persistentvolumeclaims/status"), ("create", "", "events"), ("patch", "", "events")}
    expected |= {(verb, "storage.k8s.io", "storageclasses") for verb in (*READ, "create")}
    expected |= {(verb, "storage.k8s.io", "csidrivers") for verb in ("get", "create")}
    expected.add(("get", "storage.k8s.io", "volumeattributesclasses"))
    assert rights(authorizer, user) == expected | BASIC


@pytest.mark.parametrize(
    ("name", "groups", "expected"),
    [
        ("bob", (AUTHENTICATED,), BASIC),
        ("system:serviceaccount:default:other", ("system:serviceaccounts", AUTHENTICATED), BASIC),
        ("scraper", ("system:monitoring", AUTHENTICATED), BASIC),
        ("system:node:n1", (AUTHENTICATED,), BASIC),  # the name alone is no node
        ("kube-apiserver-kubelet-client", (), set()),
        ("system:anonymous", ("system:unauthenticated",), set()),
        ("system:serviceaccount:default:viewer", ("system:unauthenticated",), set()),
    ],
)
async def test_others(authorizer: Authorizer, name: str, groups: tuple[str, ...], expected: set[Right]) -> None:
    """Who has no role asks about itself at most."""
    assert rights(authorizer, UserInfo(name=name, groups=groups)) == expected


async def test_bootstrap_tokens(authorizer: Authorizer) -> None:
    """Ask for certificates and wait for them, no more; kubeadm's need nobody's approval for those of nodes."""
    csr = "certificatesigningrequests"
    groups = ("system:bootstrappers", AUTHENTICATED)
    expected = {(verb, "certificates.k8s.io", csr) for verb in (*READ, "create")} | BASIC
    assert rights(authorizer, UserInfo(name="system:bootstrap:abcdef", groups=groups)) == expected
    kubeadm = ("system:bootstrappers:kubeadm:default-node-token", *groups)
    expected.add(("create", "certificates.k8s.io", f"{csr}/nodeclient"))
    assert rights(authorizer, UserInfo(name="system:bootstrap:abcdef", groups=kubeadm)) == expected


async def test_node(authorizer: Authorizer) -> None:
    """A node, of objects that are not its own: registers, reports events, asks the API about others, and reads what all share."""
    node = UserInfo(name="system:node:n1", groups=("system:nodes", AUTHENTICATED))
    shared = {
        ("", "services"),
        ("node.k8s.io", "runtimeclasses"),
        ("storage.k8s.io", "csidrivers"),
        ("certificates.k8s.io", "clustertrustbundles"),
    }
    expected = {(verb, group, resource) for group, resource in shared for verb in READ}
    expected |= {(verb, "", "events") for verb in ("create", "update", "patch")}
    csr = "certificatesigningrequests"
    expected |= {(verb, "certificates.k8s.io", csr) for verb in (*READ, "create")}
    expected.add(("create", "certificates.k8s.io", f"{csr}/selfnodeclient"))
    expected.add(("create", "certificates.k8s.io", "podcertificaterequests"))
    expected |= {("get", "", "endpoints"), ("create", "", "nodes")}
    expected |= {("create", "authentication.k8s.io", "tokenreviews")}
    for review in ("subjectaccessreviews", "localsubjectaccessreviews"):
        expected.add(("create", "authorization.k8s.io", review))
    # made under its own name and bound to itself, or refused by what they say (restriction)
    expected |= {("create", "", "pods"), ("create", "storage.k8s.io", "csinodes")}
    expected.add(("create", "resource.k8s.io", "resourceslices"))
    # answered with 404 where there is no such pod; a read is refused (403)
    expected |= {("delete", "", "pods"), ("create", "", "pods/eviction")}
    expected |= {(verb, "", "pods/status") for verb in ("update", "patch")}
    assert rights(authorizer, node) == expected | BASIC


async def test_nodes_that_lead_services(authorizer: Authorizer) -> None:
    """With the rights of system:node-proxier they also see where Services lead, and may have tokens for any audience, as their
    registries' credential providers need; nobody else gains anything."""
    node = UserInfo(name="system:node:n1", groups=("system:nodes", AUTHENTICATED))
    proxying = Authorizer(authorizer._store, authorizer._nodes, proxying_nodes=True)
    slices = {(verb, "discovery.k8s.io", "endpointslices") for verb in ("list", "watch")}
    assert rights(proxying, node) - rights(authorizer, node) == slices
    audience = Attributes(user=node, verb=AUDIENCE_VERB, resource="registry.example", namespace="ns", name="builder")
    assert (proxying.authorize(audience).allowed, authorizer.authorize(audience).allowed) == (True, False)
    bob = UserInfo(name="bob", groups=(AUTHENTICATED,))
    assert not proxying.authorize(replace(audience, user=bob)).allowed
    assert rights(proxying, bob) == rights(authorizer, bob)
