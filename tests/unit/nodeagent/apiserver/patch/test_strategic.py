"""Strategic merge: directives, merge keys, orders."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.apiserver.patch.strategic import BadPatch, apply
from nodeagent.apitypes.schema import struct

Pod, ServiceAccount = struct("core.v1.Pod"), struct("core.v1.ServiceAccount")


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


TWO = spec(containers=[{"name": "a", "image": "1"}, {"name": "b", "image": "2"}])


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        # maps
        ({"metadata": {"labels": {"a": "1", "b": "2"}}}, {"metadata": {"labels": {"a": None, "c": "3"}}}, None),
        (
            spec(nodeSelector={"a": "1"}),
            spec(nodeSelector={"$patch": "replace", "b": "2"}),
            spec(nodeSelector={"b": "2"}),
        ),
        (spec(nodeSelector={"a": "1"}), spec(nodeSelector={"$patch": "delete"}), spec(nodeSelector={})),
        # lists by merge key
        (
            TWO,
            spec(containers=[{"name": "b", "image": "3"}]),
            spec(containers=[{"name": "a", "image": "1"}, {"name": "b", "image": "3"}]),
        ),
        (TWO, spec(containers=[{"name": "a", "$patch": "delete"}]), spec(containers=[{"name": "b", "image": "2"}])),
        (TWO, spec(containers=[{"name": "c"}]), spec(containers=[{"name": "c"}, *TWO["spec"]["containers"]])),
        (TWO, spec(containers=[{"$patch": "replace"}, {"name": "c"}]), spec(containers=[{"name": "c"}])),
        (
            TWO,
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}],
                    "containers": [{"name": "c"}],
                }
            },
            spec(containers=[{"name": "b", "image": "2"}, {"name": "c"}, {"name": "a", "image": "1"}]),
        ),
        (
            TWO,
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
            spec(containers=[{"name": "b", "image": "2"}, {"name": "a", "image": "1"}]),
        ),
        (
            spec(containers=[{"name": "a", "ports": [{"containerPort": 1}, {"containerPort": 2}]}]),
            spec(containers=[{"name": "a", "ports": [{"containerPort": 2, "name": "x"}]}]),
            spec(containers=[{"name": "a", "ports": [{"containerPort": 1}, {"containerPort": 2, "name": "x"}]}]),
        ),
        # lists without a key
        (spec(tolerations=[{"key": "a"}]), spec(tolerations=[{"key": "b"}]), spec(tolerations=[{"key": "b"}])),
        (spec(tolerations=[{"key": "a"}]), spec(tolerations=None), spec()),
        # primitives
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["c", "a"]}},
            {"metadata": {"finalizers": ["a", "b", "c"]}},
        ),
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b"]}},
        ),
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$setElementOrder/finalizers": ["c", "b", "a"], "finalizers": ["c"]}},
            {"metadata": {"finalizers": ["c", "b", "a"]}},
        ),
        # unions
        (
            spec(volumes=[{"name": "v", "emptyDir": {}}]),
            spec(volumes=[{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]),
            spec(volumes=[{"name": "v", "hostPath": {"path": "/x"}}]),
        ),
        # new values lose their directives and nulls
        ({}, spec(nodeSelector={"$patch": "replace", "a": "1", "b": None}), spec(nodeSelector={"a": "1"})),
    ],
)
def test_rules(document: dict[str, Any], patch: dict[str, Any], expected: Any) -> None:
    """Each directive and each kind of list; the document given is not changed."""
    if expected is None:
        expected = {"metadata": {"labels": {"b": "2", "c": "3"}}}
    before = copy.deepcopy(document)
    assert apply(document, patch, Pod) == expected
    assert document == before


def test_account_pull_secrets_are_replaced() -> None:
    """imagePullSecrets merge in a pod but are replaced in a service account."""
    document = {"imagePullSecrets": [{"name": "a"}], "secrets": [{"name": "a"}]}
    patch = {"imagePullSecrets": [{"name": "b"}], "secrets": [{"name": "b"}]}
    assert apply(document, patch, ServiceAccount) == {
        "imagePullSecrets": [{"name": "b"}],
        "secrets": [{"name": "b"}, {"name": "a"}],
    }


def test_missing_merge_key() -> None:
    """An element without its key is refused with the words that clients know."""
    with pytest.raises(BadPatch) as caught:
        apply(TWO, spec(containers=[{"image": "x"}]), Pod)
    assert (str(caught.value), caught.value.fault) == (
        "map: map[image:x] does not contain declared merge key: name",
        "merge",
    )


@pytest.mark.parametrize(
    "patch",
    [spec(nodeSelector={"$patch": "burn"}), spec(volumes=[{"name": "v", "$retainKeys": ["name"], "emptyDir": {}}])],
)
def test_bad_directives(patch: dict[str, Any]) -> None:
    """A directive that says nothing known, or contradicts its patch, is refused."""
    with pytest.raises(BadPatch):
        apply(spec(volumes=[{"name": "v"}]), patch, Pod)


names = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)


def containers(listed: list[str], image: str) -> list[dict[str, str]]:
    return [{"name": name, "image": image} for name in listed]


@given(names, names)
def test_patched_is_there(live: list[str], wanted: list[str]) -> None:
    """After a merge every element of the patch is in the list as the patch has it, and nothing else is lost or doubled."""
    result = apply(spec(containers=containers(live, "old")), spec(containers=containers(wanted, "new")), Pod)
    found = {c["name"]: c["image"] for c in result["spec"]["containers"]}
    assert found == {**dict.fromkeys(live, "old"), **dict.fromkeys(wanted, "new")}
    assert len(result["spec"]["containers"]) == len(found)


@given(names, names)
def test_order_is_kept(live: list[str], wanted: list[str]) -> None:
    """With an order, the listed elements come in that order; merging the same patch again changes nothing."""
    patch = {
        "spec": {"containers": containers(wanted, "new"), "$setElementOrder/containers": [{"name": n} for n in wanted]}
    }
    once = apply(spec(containers=containers(live, "old")), patch, Pod)
    listed = [c["name"] for c in once["spec"]["containers"] if c["name"] in wanted]
    assert listed == wanted
    assert [c["name"] for c in apply(once, patch, Pod)["spec"]["containers"] if c["name"] in wanted] == wanted
