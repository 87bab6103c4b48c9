"""What there is much of costs in proportion: no rule looks at every pair, nor tells of every pair."""

import itertools
from typing import Any

import pytest

from nodeagent.apiserver.kinds.pods.projections import overlapping_paths
from nodeagent.apiserver.kinds.pods.warnings import MAX_PAIRS, pod_warnings
from nodeagent.apiserver.objects import metadata
from nodeagent.apiserver.objects.context import MAX_WARNINGS, Context
from nodeagent.apiserver.objects.create import _once
from nodeagent.apiserver.registry.builtin import RESOURCES
from runtimes.kube.field_errors import required

MANY = 20_000


def volume(items: list[dict[str, str]]) -> dict[str, Any]:
    return {"name": "v", "secret": {"secretName": "s", "items": items}}


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [], **spec}}


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": [volume([{"key": "k", "path": "p"}] * MANY)]},
        {"volumes": [volume([{"key": "k", "path": "a/" * n} for n in range(1, 1000)])]},
        {
            "volumes": [
                {
                    "name": "v",
                    "projected": {"sources": [{"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}}] * MANY},
                }
            ]
        },
        {"containers": [{"name": "c", "ports": [{"containerPort": 1, "protocol": "TCP"}] * MANY}]},
        {"containers": [{"name": "c", "ports": [{"containerPort": 1, "protocol": "TCP", "hostPort": 1}]}] * MANY},
    ],
    ids=["paths", "nested", "sources", "ports", "containers"],
)
def test_pairs_are_told_of_up_to_a_number(spec: dict[str, Any]) -> None:
    """A pod of a few kilobytes has millions of them."""
    assert len(pod_warnings(pod(**spec))) == MAX_PAIRS


def test_what_does_not_clash_is_not_compared() -> None:
    """Different paths in one volume; different host ports and addresses of one container port."""
    assert list(overlapping_paths([volume([{"key": "k", "path": f"a/{n}"} for n in range(MANY)])])) == []
    ports = [
        {"containerPort": 1, "protocol": "TCP", "hostPort": 1 + n % 60_000, "hostIP": f"10.0.{n // 60_000}.1"}
        for n in range(MANY * 4)
    ]
    assert pod_warnings(pod(containers=[{"name": "c", "ports": ports}])) == []


def test_the_first_collisions_are_those_of_before() -> None:
    """Equal paths, folders in the way of files and the other way round, in the order of the earlier ones."""
    paths = ["a", "b/c", "a/", "a/x", "b", "a/x/y", "", "/", "b//c", "ab"]
    found = list(overlapping_paths([volume([{"key": "k", "path": path} for path in paths])]))
    expected = [
        f'"{one.rstrip("/")}" with "{other.rstrip("/")}"'
        for index, one in enumerate(paths)
        for other in paths[:index]
        if _overlap(one.rstrip("/"), other.rstrip("/"))
    ]
    assert [text.partition("overlapping paths: ")[2] for text in found] == expected
    assert len(expected) == 8


def _overlap(one: str, other: str) -> bool:
    return bool(one and other) and (f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/"))


def test_clashes_of_ports_are_those_of_every_pair() -> None:
    """The short way finds what a look at all pairs finds, in its order."""
    choices = [
        {"containerPort": 1, "protocol": "TCP", "hostPort": port, "hostIP": address}
        for port in (0, 1, 2)
        for address in ("", "10.0.0.1", "10.0.0.2")
    ]
    for chosen in itertools.product(choices, repeat=3):
        found = [
            text
            for text in pod_warnings(pod(containers=[{"name": "c", "ports": list(chosen)}]))
            if "hostIP" not in text
        ]
        expected = [
            f"spec.containers[0].ports[{index}]: {kind} port definition with spec.containers[0].ports[{before}]"
            for index, one in enumerate(chosen)
            for before in range(index)
            if (kind := _clash(one, chosen[before]))
        ]
        assert found == expected


def _clash(one: dict[str, Any], other: dict[str, Any]) -> str:
    if (one["hostIP"], one["hostPort"]) == (other["hostIP"], other["hostPort"]):
        return "duplicate"
    if not one["hostPort"] or not other["hostPort"]:
        return "overlapping"
    if one["hostPort"] == other["hostPort"] and bool(one["hostIP"]) != bool(other["hostIP"]):
        return "dangerously ambiguous"
    return ""


def test_warnings_are_no_more_than_an_answer_can_carry() -> None:
    """Each of them once."""
    anything: Any = None
    context = Context(
        reader=anything,
        resource="pods",
        namespace="default",
        name="x",
        user=anything,
        dry_run=False,
        now=anything,
        node_name="n",
    )
    context.warn_all(f"w{n // 2}" for n in range(MANY))
    assert list(context.warnings) == [f"w{n}" for n in range(MAX_WARNINGS)]


def test_causes_are_told_once() -> None:
    """In their order."""
    errors = [required(f"spec.a[{n % MANY}]") for n in range(2 * MANY)]
    assert _once(errors) == errors[:MANY]


def test_many_controllers_are_not_listed_with_each_other() -> None:
    """Each message shows all owners."""
    pods = next(resource for resource in RESOURCES if resource.id == "pods")
    owners = [
        {"apiVersion": "v1", "kind": "Node", "name": f"n{n}", "uid": "u", "controller": True} for n in range(MANY)
    ]
    errors = metadata.validate({"metadata": {"name": "p", "ownerReferences": owners}}, pods)
    assert len(errors) < 20
