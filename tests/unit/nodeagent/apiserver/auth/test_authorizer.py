"""Who may do what."""

import contextlib
from typing import Any

import pytest

from nodeagent.apiserver.auth.attributes import Attributes
from nodeagent.apiserver.auth.authorizer import Authorizer
from nodeagent.apiserver.auth.graph import Graph
from nodeagent.apiserver.auth.identity import ANONYMOUS, user_of_certificate
from nodeagent.apiserver.auth.node import NodeAuthorizer
from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.selectors import Selection, parse_fields

Cluster = Any
AUTHENTICATED = "system:authenticated"
NODE = UserInfo(name="system:node:n1", groups=("system:nodes", AUTHENTICATED))
MASTER = UserInfo(name="admin", groups=("system:masters", AUTHENTICATED))
NOBODY = UserInfo(name="bob", groups=(AUTHENTICATED,))
CLIENT = UserInfo(name="kube-apiserver-kubelet-client", groups=("x", AUTHENTICATED))


def selected(text: str) -> Selection:
    return Selection(fields=parse_fields(text, ("metadata.name", "spec.nodeName")))


@pytest.fixture
async def authorizer(cluster: Cluster) -> Authorizer:
    """A cluster with a pod on n1 that names things, and one on n2."""
    graph = Graph(cluster.store)
    for name, node in (("mine", "n1"), ("theirs", "n2")):
        await cluster.create("configmaps", {"metadata": {"name": f"cm-{name}"}})
        await cluster.create("persistentvolumeclaims", claim(f"claim-{name}", f"pv-{name}"))
        await cluster.create("persistentvolumes", volume(f"pv-{name}", f"key-{name}"))
        await cluster.create("pods", pod(name, node))
    return Authorizer(cluster.store, NodeAuthorizer(cluster.store, graph))


def claim(name: str, volume: str) -> dict[str, Any]:
    resources = {"requests": {"storage": "1Gi"}}
    return {
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": resources,
            "volumeName": volume,
            "storageClassName": "",
        },
    }


def volume(name: str, secret: str) -> dict[str, Any]:
    """One that needs a secret on the node, and another where it is attached."""
    csi: dict[str, Any] = {
        "driver": "d",
        "volumeHandle": name,
        "nodeStageSecretRef": {"namespace": "vault", "name": secret},
    }
    csi["controllerPublishSecretRef"] = {"namespace": "vault", "name": "controllers"}
    return {
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "csi": csi},
    }


def pod(name: str, node: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "imagePullSecrets": [{"name": f"pull-{name}"}],
            "containers": [
                {
                    "name": "c",
                    "image": "i:1",
                    "envFrom": [{"configMapRef": {"name": f"cm-{name}"}}],
                    "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": f"env-{name}", "key": "k"}}}],
                }
            ],
            "volumes": [
                {"name": "s", "secret": {"secretName": f"vol-{name}"}},
                {"name": "p", "projected": {"sources": [{"secret": {"name": f"proj-{name}"}}]}},
                {"name": "c", "persistentVolumeClaim": {"claimName": f"claim-{name}"}},
            ],
        },
    }


LEASES = {"group": "coordination.k8s.io", "resource": "leases"}


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        # its node
        ({"verb": "get", "resource": "nodes", "name": "n1"}, True),
        ({"verb": "get", "resource": "nodes", "name": "n2"}, False),
        ({"verb": "list", "resource": "nodes"}, False),
        ({"verb": "watch", "resource": "nodes", "selection": selected("metadata.name=n1")}, True),
        ({"verb": "create", "resource": "nodes"}, True),
        ({"verb": "patch", "resource": "nodes", "name": "n1", "subresource": "status"}, True),
        ({"verb": "patch", "resource": "nodes", "name": "n2", "subresource": "status"}, False),
        ({"verb": "delete", "resource": "nodes", "name": "n1"}, False),
        # pods
        ({"verb": "list", "resource": "pods", "selection": selected("spec.nodeName=n1")}, True),
        ({"verb": "list", "resource": "pods", "selection": selected("spec.nodeName=n2")}, False),
        ({"verb": "list", "resource": "pods"}, False),
        ({"verb": "get", "resource": "pods", "namespace": "default", "name": "mine"}, True),
        ({"verb": "get", "resource": "pods", "namespace": "default", "name": "theirs"}, False),
        ({"verb": "get", "resource": "pods", "namespace": "default", "name": "gone"}, False),
        ({"verb": "delete", "resource": "pods", "namespace": "default", "name": "gone"}, True),
        (
            {
                "verb": "watch",
                "resource": "pods",
                "namespace": "default",
                "selection": selected("metadata.name=mine"),
            },
            True,
        ),
        (
            {
                "verb": "watch",
                "resource": "pods",
                "namespace": "default",
                "selection": selected("metadata.name=theirs"),
            },
            False,
        ),
        ({"verb": "patch", "resource": "pods", "subresource": "status", "namespace": "default", "name": "mine"}, True),
        (
            {"verb": "patch", "resource": "pods", "subresource": "status", "namespace": "default", "name": "theirs"},
            False,
        ),
        ({"verb": "patch", "resource": "pods", "namespace": "default", "name": "mine"}, False),
        ({"verb": "delete", "resource": "pods", "namespace": "default", "name": "mine"}, True),
        ({"verb": "create", "resource": "pods", "subresource": "exec", "namespace": "default", "name": "mine"}, False),
        (
            {"verb": "create", "resource": "pods", "subresource": "binding", "namespace": "default", "name": "mine"},
            False,
        ),
        # what its pods name
        ({"verb": "get", "resource": "configmaps", "namespace": "default", "name": "cm-mine"}, True),
        ({"verb": "get", "resource": "configmaps", "namespace": "default", "name": "cm-theirs"}, False),
        ({"verb": "list", "resource": "configmaps", "namespace": "default"}, False),
        ({"verb": "update", "resource": "configmaps", "namespace": "default", "name": "cm-mine"}, False),
        *(
            ({"verb": "get", "resource": "secrets", "namespace": "default", "name": f"{kind}-mine"}, True)
            for kind in ("pull", "env", "vol", "proj")
        ),
        ({"verb": "get", "resource": "secrets", "namespace": "default", "name": "vol-theirs"}, False),
        ({"verb": "get", "resource": "secrets", "namespace": "other", "name": "vol-mine"}, False),
        (
            {
                "verb": "watch",
                "resource": "secrets",
                "namespace": "default",
                "selection": selected("metadata.name=vol-mine"),
            },
            True,
        ),
        ({"verb": "get", "resource": "persistentvolumeclaims", "namespace": "default", "name": "claim-mine"}, True),
        ({"verb": "get", "resource": "persistentvolumes", "name": "pv-mine"}, True),
        ({"verb": "get", "resource": "persistentvolumes", "name": "pv-theirs"}, False),
        ({"verb": "get", "resource": "secrets", "namespace": "vault", "name": "key-mine"}, True),
        ({"verb": "get", "resource": "secrets", "namespace": "default", "name": "key-mine"}, False),
        ({"verb": "get", "resource": "secrets", "namespace": "vault", "name": "key-theirs"}, False),
        ({"verb": "get", "resource": "secrets", "namespace": "vault", "name": "controllers"}, False),
        (
            {
                "verb": "create",
                "resource": "serviceaccounts",
                "subresource": "token",
                "namespace": "default",
                "name": "default",
            },
            True,
        ),
        (
            {
                "verb": "create",
                "resource": "serviceaccounts",
                "subresource": "token",
                "namespace": "default",
                "name": "other",
            },
            False,
        ),
        # the rest
        ({"verb": "update", **LEASES, "namespace": "kube-node-lease", "name": "n1"}, True),
        ({"verb": "update", **LEASES, "namespace": "kube-node-lease", "name": "n2"}, False),
        ({"verb": "update", **LEASES, "namespace": "default", "name": "n1"}, False),
        ({"verb": "create", "resource": "events", "namespace": "default"}, True),
        ({"verb": "list", "resource": "services"}, True),
        ({"verb": "list", "group": "node.k8s.io", "resource": "runtimeclasses"}, True),
        ({"verb": "delete", "group": "node.k8s.io", "resource": "runtimeclasses", "name": "x"}, False),
        ({"verb": "create", "group": "authorization.k8s.io", "resource": "subjectaccessreviews"}, True),
        ({"verb": "list", "resource": "namespaces"}, False),
        ({"verb": "get", "path": "/api"}, True),
    ],
)
async def test_node(authorizer: Authorizer, asked: dict[str, Any], allowed: bool) -> None:
    """A node reads what its pods name and writes what it owns, and nothing else."""
    assert authorizer.authorize(Attributes(user=NODE, **asked)).allowed is allowed


async def test_devices_of_a_node(cluster: Cluster, authorizer: Authorizer) -> None:
    """It reads claims that are reserved for its pods, by their UIDs, and touches its own ResourceSlices alone."""
    group, claims = {"group": "resource.k8s.io"}, "resourceclaims.resource.k8s.io"
    mine = cluster.get("pods", "mine")
    for name, uid in (("good", mine["metadata"]["uid"]), ("old", "former")):
        made = await cluster.create(claims, {"metadata": {"name": name}, "spec": {}})
        consumer = {"resource": "pods", "name": "mine", "uid": uid}
        made["status"] = {"allocation": {}, "reservedFor": [consumer]}
        await cluster.update(claims, made, subresource="status")
    for name, allowed in (("good", True), ("old", False), ("absent", False)):
        asked = {"verb": "get", "resource": "resourceclaims", "namespace": "default", "name": name}
        assert authorizer.authorize(Attributes(user=NODE, **group, **asked)).allowed is allowed
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    for node in ("n1", "n2"):
        spec = {"driver": "x.org", "nodeName": node, "pool": pool}
        await cluster.create("resourceslices.resource.k8s.io", {"metadata": {"name": node}, "spec": spec})
        asked = {"verb": "delete", "resource": "resourceslices", "name": node}
        assert authorizer.authorize(Attributes(user=NODE, **group, **asked)).allowed is (node == "n1")


async def test_references_end_with_the_pod(cluster: Cluster, authorizer: Authorizer) -> None:
    """When the pod is gone the node may no longer read what it named."""
    asked = Attributes(user=NODE, verb="get", resource="secrets", namespace="default", name="vol-mine")
    assert authorizer.authorize(asked).allowed
    await cluster.delete("pods", "mine", grace_period_seconds=0)
    assert not authorizer.authorize(asked).allowed


async def test_mirror_pods_give_nothing(cluster: Cluster, authorizer: Authorizer) -> None:
    """A node makes mirror pods itself: what they name is not its to read."""
    mirror = pod("mirror", "n1")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    mirror["spec"] = {"nodeName": "n1", "serviceAccountName": "other", "containers": mirror["spec"]["containers"]}
    await cluster.create("serviceaccounts", {"metadata": {"name": "other"}})
    with contextlib.suppress(ApiError):  # admission refuses it; if it did not, it would still give nothing
        await cluster.create("pods", mirror)
    for resource, name in (("secrets", "env-mirror"), ("configmaps", "cm-mirror")):
        asked = Attributes(user=NODE, verb="get", resource=resource, namespace="default", name=name)
        assert not authorizer.authorize(asked).allowed


async def test_what_a_node_cannot_read_names_nothing(cluster: Cluster, authorizer: Authorizer) -> None:
    """A pod that is valid here and that no client can read as a pod: its node has no use for what it names."""
    odd = pod("odd", "n1")
    odd["spec"]["volumes"].append({"name": "x", "scaleIO": {"gateway": "g", "system": "s", "volumeName": "v"}})
    await cluster.create("pods", odd)
    asked = Attributes(user=NODE, verb="get", resource="secrets", namespace="default", name="vol-odd")
    assert not authorizer.authorize(asked).allowed


async def test_references_begin_with_the_binding(cluster: Cluster, authorizer: Authorizer) -> None:
    """A pod without a node gives nobody anything; its binding does."""
    unbound = pod("late", "")
    del unbound["spec"]["nodeName"]
    await cluster.create("pods", unbound)
    asked = Attributes(user=NODE, verb="get", resource="secrets", namespace="default", name="vol-late")
    assert not authorizer.authorize(asked).allowed
    body = {"metadata": {"name": "late"}, "target": {"name": "n1"}}
    await cluster.objects.bind("default", "late", body, WriteOptions(), MASTER)
    assert authorizer.authorize(asked).allowed


@pytest.mark.parametrize(
    ("user", "asked", "allowed"),
    [
        (MASTER, {"verb": "delete", "resource": "nodes", "name": "n"}, True),
        (MASTER, {"verb": "post", "path": "/anything"}, True),
        (NOBODY, {"verb": "list", "resource": "pods"}, False),
        (NOBODY, {"verb": "create", "group": "authorization.k8s.io", "resource": "selfsubjectaccessreviews"}, True),
        (NOBODY, {"verb": "get", "path": "/openapi/v3/api/v1"}, True),
        (NOBODY, {"verb": "get", "path": "/apisx"}, False),
        (ANONYMOUS, {"verb": "get", "path": "/healthz"}, True),
        (ANONYMOUS, {"verb": "get", "path": "/readyz/ping"}, True),
        (ANONYMOUS, {"verb": "get", "path": "/version"}, True),
        (ANONYMOUS, {"verb": "get", "path": "/api"}, False),
        (MASTER, {"verb": "get", "path": "/metrics"}, True),
        (NOBODY, {"verb": "get", "path": "/metrics"}, False),
        (ANONYMOUS, {"verb": "get", "path": "/metrics"}, False),
        (UserInfo(name="p", groups=("system:monitoring", AUTHENTICATED)), {"verb": "get", "path": "/metrics"}, True),
        (UserInfo(name="p", groups=("system:monitoring", AUTHENTICATED)), {"verb": "list", "resource": "pods"}, False),
        (ANONYMOUS, {"verb": "list", "resource": "pods"}, False),
        (ANONYMOUS, {"verb": "create", "group": "authorization.k8s.io", "resource": "selfsubjectaccessreviews"}, False),
        (CLIENT, {"verb": "get", "resource": "nodes", "subresource": "proxy", "name": "n1"}, True),
        (CLIENT, {"verb": "get", "resource": "nodes", "name": "n1"}, True),
        (CLIENT, {"verb": "patch", "resource": "nodes", "subresource": "status", "name": "n1"}, False),
        (CLIENT, {"verb": "impersonate", "resource": "users", "name": "kubernetes-admin"}, False),
        (NOBODY, {"verb": "get", "path": "/openid/v1/jwks"}, False),
        (NOBODY, {"verb": "create", "group": "a.b", "resource": "selfsubjectaccessreviews"}, False),
        (CLIENT, {"verb": "get", "resource": "secrets", "namespace": "d", "name": "s"}, False),
    ],
)
async def test_others(authorizer: Authorizer, user: UserInfo, asked: dict[str, Any], allowed: bool) -> None:
    """Masters may do everything, the authenticated discover and ask about themselves, the unknown see the health."""
    assert authorizer.authorize(Attributes(user=user, **asked)).allowed is allowed


@pytest.mark.parametrize(
    ("role", "asked", "allowed"),
    [
        (None, {"verb": "list", "resource": "pods"}, False),
        ("view", {"verb": "list", "resource": "pods"}, True),
        ("view", {"verb": "get", "resource": "pods", "subresource": "log", "name": "p"}, True),
        ("view", {"verb": "get", "resource": "pods", "subresource": "exec", "name": "p"}, False),
        ("view", {"verb": "list", "resource": "secrets"}, False),
        ("view", {"verb": "delete", "resource": "pods", "name": "p"}, False),
        ("cluster-admin", {"verb": "delete", "resource": "nodes", "name": "n"}, True),
        ("cluster-admin", {"verb": "get", "path": "/metrics"}, True),
        ("view", {"verb": "get", "path": "/metrics"}, False),
        ("emperor", {"verb": "list", "resource": "pods"}, False),
    ],
)
async def test_service_accounts(
    cluster: Cluster, authorizer: Authorizer, role: str | None, asked: dict[str, Any], allowed: bool
) -> None:
    """A service account may do what its annotation says, by default nothing."""
    annotations = {"nodeagent.dev/cluster-role": role} if role else {}
    await cluster.create("serviceaccounts", {"metadata": {"name": "robot", "annotations": annotations}})
    user = UserInfo(name="system:serviceaccount:default:robot", groups=("system:serviceaccounts", AUTHENTICATED))
    assert authorizer.authorize(Attributes(user=user, **asked)).allowed is allowed


def test_certificate_subjects() -> None:
    """The common name is the user, the organizations are the groups; no name, no user."""
    certificate = {"subject": ((("organizationName", "a"),), (("organizationName", "b"),), (("commonName", "me"),))}
    assert user_of_certificate(certificate) == UserInfo(name="me", groups=("a", "b", AUTHENTICATED))
    assert user_of_certificate({"subject": ((("organizationName", "a"),),)}) is None
    assert user_of_certificate(None) is None
