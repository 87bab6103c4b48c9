"""Service accounts whose pods may name only the secrets that the account lists."""

import copy
from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import hooks_for

HOOKS = hooks_for("pods")
KEY = "kubernetes.io/enforce-mountable-secrets"


def account(cluster: Any, value: str | None = "true") -> None:
    annotations = {} if value is None else {KEY: value}
    cluster.put(
        "serviceaccounts",
        {
            "metadata": {"name": "default", "namespace": "default", "annotations": annotations},
            "secrets": [{"name": "mine"}],
            "imagePullSecrets": [{"name": "pull"}],
        },
    )


def by_key(secret: str) -> dict[str, Any]:
    return {"env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": secret, "key": "k"}}}]}


def whole(secret: str) -> dict[str, Any]:
    return {"envFrom": [{"prefix": "P", "secretRef": {"name": secret}}]}


def specs(secret: str, pull: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Each way of naming a secret, and how the refusal names it."""
    named = f'secret.secretName="{secret}"'
    projected = {"sources": [{"secret": {"name": secret}}]}
    return {
        "volume": ({"volumes": [{"name": "v", "secret": {"secretName": secret}}]}, f"volume with {named}"),
        "projected": ({"volumes": [{"name": "v", "projected": projected}]}, f"volume with {named}"),
        "env": (
            {"containers": [{"name": "c", "image": "x", **by_key(secret)}]},
            f"container c with envVar E referencing {named}",
        ),
        "envFrom": (
            {"containers": [{"name": "c", "image": "x", **whole(secret)}]},
            f"container c with envFrom referencing {named}",
        ),
        "init": (
            {"initContainers": [{"name": "i", "image": "x", **by_key(secret)}]},
            f"init container i with envVar E referencing {named}",
        ),
        "init envFrom": (
            {"initContainers": [{"name": "i", "image": "x", **whole(secret)}]},
            f"init container i with envFrom referencing {named}",
        ),
        "pull": ({"imagePullSecrets": [{"name": pull}]}, f'imagePullSecrets[0].name="{pull}"'),
    }


WAYS = tuple(specs("", ""))


def create(cluster: Any, pod: Any) -> None:
    HOOKS.prepare_create(copy.deepcopy(pod), cluster.context(name="p"))


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_naming_a_secret_counts(cluster: Any, new_pod: Any, way: str) -> None:
    """A secret that the account does not list is refused however it is named; one that it lists is not (CVE-2024-3177)."""
    account(cluster)
    spec, which = specs("theirs", "theirs")[way]
    with pytest.raises(ApiError) as caught:
        create(cluster, new_pod(**spec))
    what = "imagePullSecret" if way == "pull" else "secret"
    assert caught.value.code == 403
    assert f"{which} is not allowed because service account default does not reference that {what}" in str(caught.value)
    create(cluster, new_pod(**specs("mine", "pull")[way][0]))


@pytest.mark.parametrize("value", [None, "false", "yes", ""])
def test_other_accounts_limit_nothing(cluster: Any, new_pod: Any, value: str | None) -> None:
    """Only the annotation's true, as Go reads it, limits."""
    account(cluster, value)
    for spec, _ in specs("theirs", "theirs").values():
        create(cluster, new_pod(**spec))


@pytest.mark.parametrize("named", [by_key, whole])
def test_containers_that_join_later_are_held_to_it(cluster: Any, new_pod: Any, named: Any) -> None:
    """So are ephemeral containers, which come by a subresource (CVE-2023-2728)."""
    account(cluster)
    old = new_pod()
    HOOKS.prepare_create(old, cluster.context(name="p"))

    def join(secret: str) -> None:
        new = copy.deepcopy(old)
        new["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "x", **named(secret)}]
        HOOKS.prepare_update(new, old, cluster.context(name="p"), "ephemeralcontainers")

    with pytest.raises(ApiError) as caught:
        join("theirs")
    assert "ephemeral container debug with env" in str(caught.value)
    join("mine")
