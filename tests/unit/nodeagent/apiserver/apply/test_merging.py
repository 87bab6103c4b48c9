"""A configuration is laid over an object, taken out of it, and read as a set of fields."""

from typing import Any

import pytest

from nodeagent.apiserver.apply import sets
from nodeagent.apiserver.apply.merging import fields_of, merge, remove, settled, with_structs
from nodeagent.apiserver.apply.shapes import shape_of
from nodeagent.apitypes.schema import struct

POD = shape_of(struct("core.v1.Pod"))
SERVICE = shape_of(struct("core.v1.Service"))
CONFIG_MAP = shape_of(struct("core.v1.ConfigMap"))


def containers(*names: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name} for name in names]}}


def names(pod: dict[str, Any]) -> str:
    return " ".join(container["name"] for container in pod["spec"]["containers"])


@pytest.mark.parametrize(
    ("live", "config", "expected"),
    [
        ("a b c", "", "a b c"),
        ("", "a b", "a b"),
        ("a b", "b a", "b a"),
        ("a b c", "c a", "b c a"),
        ("a b c", "b a", "b c a"),
        ("a x b y", "b a", "x b y a"),
        ("a b", "z a", "z a b"),
        ("a x", "z a", "z a x"),
        ("a b c", "a z c", "a b z c"),
        ("a b c d", "d b", "a c d b"),
        ("x", "a b", "x a b"),
    ],
)
def test_order_of_lists(live: str, config: str, expected: str) -> None:
    """The elements of the configuration come in its order, the others keep their neighbours."""
    merged = merge(containers(*live.split()), containers(*config.split()), POD)
    assert names(merged) == expected


@pytest.mark.parametrize(
    ("live", "config", "expected"),
    [
        ({"data": {"a": "1"}}, {"data": {"b": "2"}}, {"data": {"a": "1", "b": "2"}}),
        ({"data": {"a": "1"}}, {"data": None}, {"data": {"a": "1"}}),
        ({"data": {"a": "1"}}, {"data": {"a": None}}, {"data": {"a": None}}),
        ({}, {"data": {}}, {"data": {}}),
        ({"immutable": True}, {"immutable": None}, {"immutable": None}),
    ],
)
def test_maps(live: Any, config: Any, expected: Any) -> None:
    """Maps are merged by key; a null replaces a value, but nothing that has parts."""
    before = str(live)
    assert merge(live, config, CONFIG_MAP) == expected
    assert str(live) == before


def test_elements_meet_by_their_keys_and_defaults() -> None:
    """A port without a protocol is the TCP port; what is atomic is replaced."""
    live = {
        "spec": {
            "ports": [{"port": 53, "protocol": "TCP", "name": "t"}, {"port": 53, "protocol": "UDP"}],
            "selector": {"a": "b"},
        }
    }
    config = {"spec": {"ports": [{"port": 53, "targetPort": 5353}], "selector": {"c": "d"}}}
    assert merge(live, config, SERVICE) == {
        "spec": {
            "ports": [
                {"port": 53, "protocol": "TCP", "name": "t", "targetPort": 5353},
                {"port": 53, "protocol": "UDP"},
            ],
            "selector": {"c": "d"},
        }
    }


def paths(fields: Any) -> list[str]:
    return sorted(sets.readable(path) for path in sets.paths(fields))


def test_what_a_configuration_says() -> None:
    """Leaves, elements of lists, keys of maps and empty structs are said; what only holds them is not."""
    config = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "args": ["x"], "resources": {}}], "nodeSelector": {"n": "m"}},
    }
    found = fields_of(config, POD)
    assert paths(found) == [
        ".metadata.labels.a",
        '.spec.containers[name="c"]',
        '.spec.containers[name="c"].args',
        '.spec.containers[name="c"].name',
        '.spec.containers[name="c"].resources',
        ".spec.nodeSelector",
    ]
    assert set(paths(with_structs(found, POD))) - set(paths(found)) == {
        ".metadata",
        ".metadata.labels",
        ".spec",
        ".spec.containers",
    }


def test_remove() -> None:
    """Members go with all they hold; what has nothing left is gone when the object is stored."""
    pod = {"metadata": {"labels": {"a": "b"}}, **containers("x", "y")}
    key = 'k:{"name":"x"}'
    gone = sets.of_paths(("f:metadata", "f:labels", "f:a"), ("f:spec", "f:containers", key))
    left = remove(pod, gone, POD)
    assert left == {"metadata": {"labels": {}}, **containers("y")}
    assert paths(fields_of(left, POD)) == [
        ".metadata.labels",
        '.spec.containers[name="y"]',
        '.spec.containers[name="y"].name',
    ]
    assert settled(left) == {"metadata": {}, **containers("y")}
    none_left = remove(left, sets.of_paths(("f:spec", "f:containers", 'k:{"name":"y"}')), POD)
    assert settled(none_left) == {"metadata": {}, "spec": {}}
