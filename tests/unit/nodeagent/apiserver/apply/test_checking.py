"""A configuration that is not of its type is told in the words of structured-merge-diff."""

from typing import Any

import pytest

from nodeagent.apiserver.apply.checking import faults
from nodeagent.apiserver.apply.shapes import shape_of
from nodeagent.apitypes.schema import struct


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", **fields}]}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, ""),
        ({"spec": None, "metadata": {"labels": None}}, ""),
        (container(ports=[{"containerPort": 1, "name": "x"}], resources={"limits": {"cpu": 1, "memory": "1Gi"}}), ""),
        (container(livenessProbe={"httpGet": {"port": "web"}}), ""),
        ({"spec": {"nodename": "x"}}, ".spec.nodename: field not declared in schema"),
        ({"spec": []}, ".spec: expected map, got &{[]}"),
        ({"spec": {"containers": {"a": 1}}}, ".spec.containers: expected list, got &{map[a:1]}"),
        # a key that is always written has a default: its zero. That there is no such name is for the pod's rules to say
        ({"spec": {"containers": [{"image": "x"}]}}, ""),
        (
            {"spec": {"containers": [None]}},
            ".spec.containers: element 0: associative list with keys may not have a null element",
        ),
        (
            {"spec": {"containers": ["x"]}},
            ".spec.containers: element 0: associative list with keys may not have non-map elements",
        ),
        (
            {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}},
            '.spec.containers: duplicate entries for key [name="a"]',
        ),
        ({"metadata": {"finalizers": ["a", "a"]}}, '.metadata.finalizers: duplicate entries for key [="a"]'),
        (
            {"metadata": {"finalizers": [{}]}},
            ".metadata.finalizers: element 0: associative list without keys has an element that's a map type",
        ),
        (
            {"metadata": {"labels": {"a": 1}}},
            ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}",
        ),
        (
            container(env=[{"name": "E", "value": True}]),
            '.spec.containers[name="c"].env[name="E"].value: expected string, got &value.valueUnstructured{Value:true}',
        ),
        (
            container(ports=[{"containerPort": "80"}]),
            '.spec.containers[name="c"].ports[containerPort="80",protocol="TCP"].containerPort: '
            "expected numeric (int or float), got string",
        ),
        (container(stdin="yes"), '.spec.containers[name="c"].stdin: expected boolean, got &{yes}'),
        (
            container(args=["a", 1]),
            '.spec.containers[name="c"].args[1]: expected string, got &value.valueUnstructured{Value:1}',
        ),
        (
            {"spec": {"a": 1, "b": 2}},
            "errors:\n  .spec.a: field not declared in schema\n  .spec.b: field not declared in schema",
        ),
    ],
)
def test_faults(config: Any, message: str) -> None:
    """All that is wrong, with its path; nothing for what is of its type."""
    assert faults(config, shape_of(struct("core.v1.Pod"))) == message
