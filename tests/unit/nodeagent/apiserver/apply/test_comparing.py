"""What differs between two objects, field by field, as the types of the API say."""

from typing import Any

import pytest

from nodeagent.apiserver.apply import sets
from nodeagent.apiserver.apply.comparing import compare
from nodeagent.apiserver.apply.shapes import shape_of
from nodeagent.apitypes.schema import struct

Case = tuple[str, Any, Any, dict[str, list[str]]]


def differences(kind: str, old: Any, new: Any, *, literal: bool = False) -> dict[str, list[str]]:
    found = compare(old, new, shape_of(struct(kind)), literal=literal)
    parts = {"added": found.added, "modified": found.modified, "removed": found.removed}
    return {name: [sets.readable(path) for path in sets.paths(part)] for name, part in parts.items() if part}


PORT = '.spec.ports[port=80,protocol="TCP"]'
CONTAINER = '.spec.containers[name="a"]'
CASES: list[Case] = [
    ("ConfigMap", {"data": {"a": "1"}}, {"data": {"a": "1"}}, {}),
    ("ConfigMap", {"data": {"a": "1"}}, {"data": {"a": "2", "b": "3"}}, {"added": [".data.b"], "modified": [".data.a"]}),
    ("ConfigMap", {}, {"data": {"a": "1"}}, {"added": [".data", ".data.a"]}),
    ("ConfigMap", {"data": {"a": "1"}}, {}, {"removed": [".data", ".data.a"]}),
    ("ConfigMap", {}, {"data": {}}, {"added": [".data"]}),
    ("ConfigMap", {"immutable": False}, {"immutable": None}, {"removed": [".immutable"]}),
    # the spec of a service is there from the beginning, its ports are not
    (
        "Service",
        {},
        {"spec": {"ports": [{"port": 80}]}},
        {"added": [".spec.ports", PORT, f"{PORT}.port"]},
    ),
    # a key that is left out has its default: the same port
    (
        "Service",
        {"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}},
        {"spec": {"ports": [{"port": 80, "targetPort": 81}]}},
        {"modified": [f"{PORT}.targetPort"], "removed": [f"{PORT}.protocol"]},
    ),
    # one selector, one owner
    (
        "Service",
        {"spec": {"selector": {"a": "b"}}},
        {"spec": {"selector": {"a": "b", "c": "d"}}},
        {"modified": [".spec.selector"]},
    ),
    (
        "Pod",
        {"spec": {"containers": [{"name": "a", "image": "x:1", "args": ["1"]}]}},
        {"spec": {"containers": [{"name": "b", "image": "x:1"}, {"name": "a", "image": "x:2", "args": ["2"]}]}},
        {
            "added": ['.spec.containers[name="b"]', *(f'.spec.containers[name="b"].{n}' for n in ("image", "name", "resources"))],
            "modified": [f"{CONTAINER}.args", f"{CONTAINER}.image"],
        },
    ),
    # order is nobody's field
    (
        "Pod",
        {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}},
        {"spec": {"containers": [{"name": "b"}, {"name": "a"}]}},
        {},
    ),
    # alike elements are owned as one
    (
        "Pod",
        {"spec": {"containers": [{"name": "a", "env": [{"name": "E", "value": "1"}]}]}},
        {"spec": {"containers": [{"name": "a", "env": [{"name": "E", "value": "1"}, {"name": "E", "value": "2"}]}]}},
        {
            "added": [f'{CONTAINER}.env[name="E"]'],
            "removed": [f'{CONTAINER}.env[name="E"]'] + [f'{CONTAINER}.env[name="E"].{n}' for n in ("name", "value")],
        },
    ),
    (
        "Pod",
        {"spec": {"containers": [{"name": "a", "env": [{"name": "E", "value": "1"}, {"name": "E", "value": "2"}]}]}},
        {"spec": {"containers": [{"name": "a", "env": [{"name": "E", "value": "1"}, {"name": "E", "value": "3"}]}]}},
        {"modified": [f'{CONTAINER}.env[name="E"]']},
    ),
    # a struct that is no pointer is there, empty or not
    ("Pod", {"spec": {"containers": [{"name": "a"}]}}, {"spec": {"containers": [{"name": "a", "resources": {}}]}}, {}),
    (
        "Pod",
        {"spec": {"containers": [{"name": "a"}]}},
        {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}]}},
        {"added": [f"{CONTAINER}.resources.limits", f"{CONTAINER}.resources.limits.cpu"]},
    ),
    # a pointer is there only when it was written
    ("Pod", {"spec": {}}, {"spec": {"securityContext": {}}}, {"added": [".spec.securityContext"]}),
    (
        "Pod",
        {},
        {"metadata": {"finalizers": ["a.b/c"]}, "status": {"podIPs": [{"ip": "1.2.3.4"}]}},
        {
            "added": [
                ".metadata.finalizers",
                '.metadata.finalizers[="a.b/c"]',
                ".status.podIPs",
                '.status.podIPs[ip="1.2.3.4"]',
                '.status.podIPs[ip="1.2.3.4"].ip',
            ]
        },
    ),
    (
        "Node",
        {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}, "status": {"capacity": {"cpu": "1"}}},
        {"spec": {"taints": [{"key": "b", "effect": "NoSchedule"}]}, "status": {"capacity": {"cpu": "2"}}},
        {"modified": [".spec.taints", ".status.capacity.cpu"]},
    ),
    (
        "ServiceAccount",
        {"imagePullSecrets": [{"name": "a"}]},
        {"imagePullSecrets": [{"name": "b"}]},
        {"modified": [".imagePullSecrets"]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "old", "new", "expected"), CASES)
def test_compare(kind: str, old: Any, new: Any, expected: dict[str, list[str]]) -> None:
    """Each field is in the set where it belongs, in the order of paths within a level."""
    assert {name: sorted(paths) for name, paths in differences(f"core.v1.{kind}", old, new).items()} == {
        name: sorted(paths) for name, paths in expected.items()
    }


def test_a_null_that_was_applied_is_a_value() -> None:
    """It changes the field, so that its owner is asked; in a typed object there is no null."""
    old, new = {"spec": {"hostname": "x"}}, {"spec": {"hostname": None}}
    assert differences("core.v1.Pod", old, new, literal=True) == {"modified": [".spec.hostname"]}
    assert differences("core.v1.Pod", old, new) == {"removed": [".spec.hostname"]}
