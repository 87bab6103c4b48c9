"""The shapes of answers."""

import json
from typing import Any

import pytest
import yaml

from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.rest.negotiation import Representation
from nodeagent.apiserver.rest.rendering import Renderer

CONFIG_MAP = {
    "kind": "ConfigMap",
    "apiVersion": "v1",
    "metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "3"},
    "data": {"a": "1", "b": "2"},
}
DATA = json.dumps(CONFIG_MAP, separators=(",", ":")).encode()
META = {"resourceVersion": "9"}


def renderer(registry: Registry, resource: str = "configmaps", include: Any = "Metadata", **form: Any) -> Renderer:
    kind = registry.by_id(resource)
    assert kind is not None
    return Renderer(kind, Representation(**form), include)


def test_object_is_sent_as_stored(registry: Registry) -> None:
    """A plain object is the bytes of the store, not made again."""
    assert renderer(registry).one(DATA) is DATA


@pytest.mark.parametrize("data", [DATA, json.dumps(CONFIG_MAP).encode()])
def test_list(registry: Registry, data: bytes) -> None:
    """A list says kind and apiVersion once; its items do not when stored in the usual order. An empty one has []."""
    made = json.loads(renderer(registry).many([data, DATA], META))
    bare = {k: v for k, v in CONFIG_MAP.items() if k not in ("kind", "apiVersion")}
    assert (made["kind"], made["apiVersion"], made["metadata"], made["items"][1]) == ("ConfigMapList", "v1", META, bare)
    assert json.loads(renderer(registry).many([], META))["items"] == []


def test_table(registry: Registry) -> None:
    """A table has all columns, a row per object, and the object's metadata in it."""
    made = json.loads(renderer(registry, shape="table").many([DATA], META))
    assert [c["name"] for c in made["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert (made["kind"], made["apiVersion"], made["metadata"]) == ("Table", "meta.k8s.io/v1", META)
    (row,) = made["rows"]
    assert row["cells"][:2] == ["x", 2]
    assert row["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": CONFIG_MAP["metadata"],
    }


@pytest.mark.parametrize(("include", "expected"), [("None", None), ("Object", CONFIG_MAP)])
def test_included_object(registry: Registry, include: str, expected: Any) -> None:
    """A row carries what was asked for."""
    made = json.loads(renderer(registry, include=include, shape="table").one(DATA))
    assert made["rows"][0]["object"] == expected


def test_partial(registry: Registry) -> None:
    """Metadata alone."""
    made = json.loads(renderer(registry, shape="partial").one(DATA))
    assert made == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": CONFIG_MAP["metadata"]}


def test_yaml(registry: Registry) -> None:
    """YAML says the same."""
    assert yaml.safe_load(renderer(registry, media="application/yaml").one(DATA)) == json.loads(json.dumps(CONFIG_MAP))


def test_view(registry: Registry) -> None:
    """Objects stored in another group's form are shown in this one's, in lists and events too."""
    event = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": "e"},
        "involvedObject": {"name": "p"},
        "message": "m",
    }
    data = json.dumps(event).encode()
    shown = {
        "kind": "Event",
        "apiVersion": "events.k8s.io/v1",
        "metadata": {"name": "e"},
        "regarding": {"name": "p"},
        "note": "m",
    }
    made = renderer(registry, "events.events.k8s.io")
    assert json.loads(made.one(data)) == shown
    assert json.loads(made.event("ADDED", data)) == {"type": "ADDED", "object": shown}
    assert json.loads(made.many([data], META))["items"] == [
        {k: v for k, v in shown.items() if k not in ("kind", "apiVersion")}
    ]
