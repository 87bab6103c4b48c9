"""Bootstrap tokens: which are good, and who shows them."""

import base64
from typing import Any

import pytest

from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.kinds.bootstrap_tokens import user_of
from nodeagent.apiserver.kinds.timestamps import rfc3339

NOW = 1_800_000_000.0
TOKEN = "abcdef.0123456789abcdef"
KUBEADM = "system:bootstrappers:kubeadm:default-node-token"
GOOD = {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-authentication": "true",
    "usage-bootstrap-signing": "true",
    "auth-extra-groups": KUBEADM,
    "expiration": rfc3339(NOW + 1),
}


def put(
    cluster: Any, *, kind: str = "bootstrap.kubernetes.io/token", namespace: str = "kube-system", **data: str
) -> Any:
    texts = {key.replace("_", "-"): base64.b64encode(text.encode()).decode() for key, text in (GOOD | data).items()}
    metadata = {"name": "bootstrap-token-abcdef", "namespace": namespace}
    return cluster.put("secrets", {"metadata": metadata, "type": kind, "data": texts})


def test_a_good_token(cluster: Any) -> None:
    """Stands for its id, in the group of all of them and in those that it names, each once."""
    put(cluster, **{"auth-extra-groups": f" {KUBEADM}, system:bootstrappers:a,{KUBEADM}"})
    groups = ("system:bootstrappers", "system:bootstrappers:a", KUBEADM)
    assert user_of(TOKEN, cluster.context(), NOW) == UserInfo(name="system:bootstrap:abcdef", groups=groups)
    put(cluster, expiration="", **{"auth-extra-groups": ""})
    assert user_of(TOKEN, cluster.context(), NOW) == UserInfo(
        name="system:bootstrap:abcdef", groups=("system:bootstrappers",)
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"token-secret": "0123456789abcdeg"},
        {"token-secret": ""},
        {"token-id": "abcdeg"},
        {"usage-bootstrap-authentication": "false"},
        {"usage-bootstrap-authentication": "True"},
        {"expiration": rfc3339(NOW)},
        {"expiration": "tomorrow"},
        {"auth-extra-groups": "system:masters"},
        {"auth-extra-groups": f"{KUBEADM},system:bootstrappers"},
        {"auth-extra-groups": "system:bootstrappers:A"},
        {"kind": "Opaque"},
        {"namespace": "default"},
    ],
)
def test_what_is_no_token(cluster: Any, wrong: Any) -> None:
    """Another secret, id, use, type or place; one that has ended; one that names a group that no token may be in."""
    put(cluster, **wrong)
    assert user_of(TOKEN, cluster.context(), NOW) is None


def test_one_that_is_being_deleted(cluster: Any) -> None:
    """As good as gone."""
    secret = put(cluster)
    secret["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    cluster.put("secrets", secret)
    assert user_of(TOKEN, cluster.context(), NOW) is None


@pytest.mark.parametrize(
    "text", ["", "abcdef", "ABCDEF.0123456789abcdef", TOKEN + "\n", " " + TOKEN, TOKEN + "0", "a.b.c"]
)
def test_other_texts(cluster: Any, text: str) -> None:
    """Only the exact form is looked up."""
    put(cluster)
    assert user_of(text, cluster.context(), NOW) is None
