"""What a node's writes may contain."""

import functools
from types import SimpleNamespace
from typing import Any

import pytest

from nodeagent.apiserver.auth.attributes import Attributes, Decision
from nodeagent.apiserver.auth.restriction import NodeRestriction, may_label
from nodeagent.apiserver.auth.signers import SignerRestriction
from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.options import DeleteOptions, WriteOptions
from nodeagent.apiserver.objects.patch import Patch

Cluster = Any
NODE = UserInfo(name="system:node:n1", groups=("system:nodes", "system:authenticated"))


@pytest.fixture
async def restricted(cluster: Cluster) -> Cluster:
    """The cluster as n1 sees it, with its Node and two pods."""
    cluster.engine.restriction = NodeRestriction()
    await cluster.create("nodes", {"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}}})
    await cluster.create("nodes", {"metadata": {"name": "n2"}})
    for name, node in (("mine", "n1"), ("theirs", "n2")):
        spec = {"nodeName": node, "containers": [{"name": "c", "image": "i:1"}]}
        await cluster.create("pods", {"metadata": {"name": name}, "spec": spec})
    cluster.user = NODE
    return cluster


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("kubernetes.io/hostname", True),
        ("topology.kubernetes.io/zone", True),
        ("node.kubernetes.io/anything", True),
        ("sub.kubelet.kubernetes.io/x", True),
        ("example.com/x", True),
        ("plain", True),
        ("node-role.kubernetes.io/master", False),
        ("kubernetes.io/other", False),
        ("foo.k8s.io/x", False),
        ("node-restriction.kubernetes.io/x", False),
        ("a.node-restriction.kubernetes.io/x", False),
    ],
)
def test_labels(key: str, allowed: bool) -> None:
    """A node labels itself with its own facts, not with roles."""
    assert may_label(key) is allowed


async def refused(coroutine: Any) -> str:
    with pytest.raises(ApiError) as caught:
        await coroutine
    assert caught.value.code == 403
    return caught.value.message


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        (
            {"metadata": {"labels": {"node-role.kubernetes.io/x": ""}}},
            "is not allowed to modify labels: node-role.kubernetes.io/x",
        ),
        ({"spec": {"taints": []}}, 'node "n1" is not allowed to modify taints'),
        (
            {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "u"}]}},
            'node "n1" is not allowed to modify ownerReferences',
        ),
    ],
)
async def test_own_node(restricted: Cluster, patch: Any, why: str) -> None:
    """A node changes its status and facts but not its taints, roles or owners."""
    assert await refused(restricted.patch("nodes", "n1", patch)) == f'nodes "n1" is forbidden: {why}'
    await restricted.patch("nodes", "n1", {"metadata": {"labels": {"example.com/x": "y"}}})
    await restricted.patch("nodes", "n1", {"status": {"capacity": {"cpu": "1"}}}, subresource="status")


async def test_other_nodes(restricted: Cluster) -> None:
    """No node writes or makes another."""
    assert 'is not allowed to modify node "n2"' in await refused(
        restricted.patch("nodes", "n2", {"metadata": {"labels": {"a": "b"}}})
    )
    assert 'is not allowed to modify node "n3"' in await refused(
        restricted.create("nodes", {"metadata": {"name": "n3"}})
    )


async def test_pod_status(restricted: Cluster) -> None:
    """A node writes the status of its own pods, not their labels."""
    kind = restricted.objects.kind("pods")
    status = Patch(type="strategic", content={"status": {"phase": "Running"}})
    await restricted.objects.patch(kind, "default", "mine", status, WriteOptions(), NODE, "status")
    assert "can only change pods" in await refused(
        restricted.objects.patch(kind, "default", "theirs", status, WriteOptions(), NODE, "status")
    )
    labels = Patch(type="strategic", content={"metadata": {"labels": {"a": "b"}}})
    assert "cannot update labels" in await refused(
        restricted.objects.patch(kind, "default", "mine", labels, WriteOptions(), NODE, "status")
    )
    assert "can only change pods" in await refused(
        restricted.objects.delete(kind, "default", "theirs", DeleteOptions(), NODE)
    )
    await restricted.objects.delete(kind, "default", "mine", DeleteOptions(), NODE)


def mirror(uid: str, **changes: Any) -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}
    meta = {
        "name": "m",
        "annotations": {"kubernetes.io/config.mirror": "x"},
        "ownerReferences": [owner],
        **changes.pop("metadata", {}),
    }
    return {"metadata": meta, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i:1"}], **changes}}


async def test_mirror_pods(restricted: Cluster) -> None:
    """A node makes mirror pods of itself, which own nothing and name nothing."""
    uid = restricted.get("nodes", "n1")["metadata"]["uid"]
    await restricted.create("pods", mirror(uid))
    bad = {
        "can only create mirror pods": mirror(uid, metadata={"name": "a", "annotations": {}}),
        "UID mismatch": mirror("other", metadata={"name": "b"}),
        "single owner reference": mirror(uid, metadata={"name": "c", "ownerReferences": []}),
        "spec.nodeName set to itself": mirror(uid, metadata={"name": "d"}, nodeName="n2"),
        "cannot be read": mirror(uid, metadata={"name": "f"}, volumes=[{"name": "v", "rbd": {"image": "i"}}]),
    }
    for why, pod in bad.items():
        assert why in await refused(restricted.create("pods", pod))
    secret = mirror(uid, metadata={"name": "e"}, volumes=[{"name": "v", "configMap": {"name": "x"}}])
    with pytest.raises(ApiError):
        await restricted.create("pods", secret)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"resourceClaims": [{"name": "gpu", "resourceClaimName": "theirs"}]}, "resourceclaims"),
        ({"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "theirs"}]}, "resourceclaims"),
        ({"volumes": [{"name": "v", "csi": {"driver": "d"}}]}, "csidrivers"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"path": "t"}}]}}]},
            "clustertrustbundles",
        ),
        (
            {"containers": [{"name": "c", "image": "i:1", "envFrom": [{"secretRef": {"name": "s"}}]}]},
            "secrets",
        ),
    ],
)
async def test_a_mirror_pod_claims_nothing(restricted: Cluster, spec: dict[str, Any], named: str) -> None:
    """No device, driver, token or secret comes to a node by a pod that it made itself (CVE-2025-4563)."""
    uid = restricted.get("nodes", "n1")["metadata"]["uid"]
    text = await refused(restricted.create("pods", mirror(uid, metadata={"name": "claims"}, **spec)))
    assert f'node "n1" can not create pods that reference {named}' in text


@pytest.mark.parametrize(
    ("subresource", "changed", "granted", "refused"),
    [
        ("approval", {}, "", "approve"),
        ("approval", {}, "approve a.b/c", ""),
        ("approval", {}, "approve a.b/*", ""),
        ("approval", {}, "approve a.b/d", "approve"),
        ("approval", {}, "sign a.b/c", "approve"),
        ("status", {"certificate": "eA=="}, "", "sign"),
        ("status", {"conditions": [{"type": "Failed"}]}, "approve a.b/c", "sign"),
        ("status", {"certificate": "eA=="}, "sign a.b/*", ""),
        ("status", {}, "", ""),
        (None, {"certificate": "eA=="}, "", ""),
    ],
)
def test_signers(subresource: str | None, changed: dict[str, Any], granted: str, refused: str) -> None:
    """Approving and signing need a right on the signer, or its whole domain; the old object says which one it is."""

    def authorize(asked: Attributes) -> Decision:
        assert (asked.group, asked.resource) == ("certificates.k8s.io", "signers")
        return Decision(f"{asked.verb} {asked.name}" == granted)

    ctx: Any = SimpleNamespace(
        resource="certificatesigningrequests.certificates.k8s.io", name="c", user=UserInfo(name="u")
    )
    old = {"spec": {"signerName": "a.b/c"}, "status": {}}
    new = {"spec": {"signerName": "mine/own"}, "status": changed}
    check = functools.partial(SignerRestriction(authorize).check, ctx, "update", subresource, new, old)
    why = ""
    try:
        check()
    except ApiError as error:
        why = str(error.status()["message"])
    wanted = f'user not permitted to {refused} requests with signerName "a.b/c"' if refused else ""
    assert why.partition(" is forbidden: ")[2] == wanted
