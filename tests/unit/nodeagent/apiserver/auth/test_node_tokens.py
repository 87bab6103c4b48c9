"""For which tokens a node may ask."""

from typing import Any

import pytest

from nodeagent.apiserver.auth.attributes import ALLOW, DENY, Attributes, Decision
from nodeagent.apiserver.auth.node_tokens import NodeTokens
from nodeagent.apiserver.auth.roles import AUDIENCE_VERB
from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError

Cluster = Any
NODE = UserInfo(name="system:node:n1", groups=("system:nodes", "system:authenticated"))
ADMIN = UserInfo(name="admin", groups=("system:masters", "system:authenticated"))


@pytest.fixture
async def pods(cluster: Cluster) -> Cluster:
    """`mine` on n1 with a token for `vault` and a volume of a driver that wants one for `cloud`; `theirs` on n2."""
    driver = {"tokenRequests": [{"audience": "cloud"}]}
    await cluster.create("csidrivers.storage.k8s.io", {"metadata": {"name": "d"}, "spec": driver})
    token = {"serviceAccountToken": {"path": "t", "audience": "vault"}}
    volumes = [{"name": "t", "projected": {"sources": [token]}}, {"name": "v", "csi": {"driver": "d"}}]
    for name, node in (("mine", "n1"), ("theirs", "n2")):
        spec = {"nodeName": node, "serviceAccountName": "default", "containers": [{"name": "c", "image": "i:1"}]}
        await cluster.create("pods", {"metadata": {"name": name}, "spec": {**spec, "volumes": volumes}})
    return cluster


def asked(cluster: Cluster, pod: str, *audiences: str, **bound: str) -> dict[str, Any]:
    uid = cluster.get("pods", pod)["metadata"]["uid"]
    return {"spec": {"audiences": [*audiences], "boundObjectRef": {"kind": "Pod", "name": pod, "uid": uid} | bound}}


def check(
    cluster: Cluster,
    request: dict[str, Any],
    user: UserInfo = NODE,
    account: str = "default",
    decision: Decision = DENY,
) -> list[Attributes]:
    """What the authorizer was asked."""
    questions: list[Attributes] = []

    def authorize(question: Attributes) -> Decision:
        questions.append(question)
        return decision

    kind = cluster.objects.kind("serviceaccounts")
    NodeTokens(authorize).check(request, cluster.engine.context(kind, "default", account, user, dry_run=False))
    return questions


@pytest.mark.parametrize("audience", ["vault", "cloud"])
async def test_audiences_that_the_pod_names(pods: Cluster, audience: str) -> None:
    """By a projected volume, or by the driver of a volume: nobody is asked."""
    assert check(pods, asked(pods, "mine", audience)) == []


async def test_other_audiences(pods: Cluster) -> None:
    """Need a right of their own, and a node has one token for one audience."""
    with pytest.raises(ApiError, match='audience "x" not found in pod spec volume, system:node:n1 is not authorized'):
        check(pods, asked(pods, "mine", "x"))
    (question,) = check(pods, asked(pods, "mine", "x"), decision=ALLOW)
    assert (question.verb, question.resource, question.name) == (AUDIENCE_VERB, "x", "default")
    with pytest.raises(ApiError, match="may only request 0 or 1 audiences"):
        check(pods, asked(pods, "mine", "vault", "cloud"))


async def test_pods_that_do_not_count(pods: Cluster) -> None:
    """None, another of the name, another node's, one that runs as somebody else; who is no node is not looked at."""
    bad = [
        ({"spec": {}}, "default", "not bound to a pod"),
        (asked(pods, "mine", "vault", uid="old"), "default", "bad uid"),
        (asked(pods, "theirs", "vault"), "default", "scheduled on a different node"),
        (asked(pods, "mine", "vault"), "other", "the pod does not use"),
    ]
    for request, account, why in bad:
        with pytest.raises(ApiError, match=why):
            check(pods, request, account=account)
        assert check(pods, request, ADMIN, account) == []
