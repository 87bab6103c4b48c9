"""metrics.k8s.io: NodeMetrics and PodMetrics, made of the stored objects and what their nodes tell."""

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.rest.discovery import Discovery
from nodeagent.apiserver.rest.measured_resources import MeasuredResources
from nodeagent.apiserver.rest.negotiation import Representation
from nodeagent.apiserver.rest.node_usage import NODE, NodeUsage, Of, Usage
from nodeagent.apiserver.rest.openapi import OpenApi
from nodeagent.apiserver.rest.rendering import Renderer
from nodeagent.apiserver.rest.request import Request

if TYPE_CHECKING:
    from conftest import Cluster

AT = 1_767_225_600.0  # 2026-01-01


def usage(cores: int, memory_bytes: int, at: float = AT) -> Usage:
    return Usage(cpu_nano_cores=cores, memory_bytes=memory_bytes, at=at, window_seconds=10.02)


class Nodes:
    """One that answers, and one that does not."""

    async def read(self, node: str) -> Mapping[Of, Usage]:
        if node != "n1":
            raise ApiError.internal("error dialing backend")
        return {
            NODE: usage(2_000_000_000, 3 << 20),
            Of(namespace="default", pod="p", container="c"): usage(500, 2048),
            Of(namespace="default", pod="p", container="b"): usage(7, 1001, AT - 5),
            Of(namespace="other", pod="p2", container="c"): usage(1, 1),
        }


@pytest.fixture
async def measured(cluster: "Cluster", pod: dict[str, Any]) -> MeasuredResources:
    for name in ("n1", "n2"):
        await cluster.create("nodes", {"metadata": {"name": name, "labels": {"disk": name}}})
    await cluster.create("pods", pod | {"metadata": {"name": "p", "labels": {"app": "web"}}})
    await cluster.create("pods", pod | {"metadata": {"name": "p2"}})
    return MeasuredResources(cluster.store, cast(NodeUsage, Nodes()))


def asked(plural: str, name: str = "", **query: str) -> Request:
    from nodeagent.apiserver.registry.builtin import RESOURCES

    resource = next(each for each in RESOURCES if each.id == f"{plural}.metrics.k8s.io")
    form = Representation()
    request = SimpleNamespace(
        resource=resource,
        namespace="default" if resource.namespaced else "",
        target=SimpleNamespace(name=name),
        query={key: [value] for key, value in query.items()},
        form=form,
        renderer=lambda: Renderer(resource, form),
    )
    return cast(Request, request)


async def answer(measured: MeasuredResources, verb: str, request: Request) -> Any:
    body = (await measured.answer(verb, request)).body
    assert isinstance(body, bytes)
    return json.loads(body)


async def test_a_pod(measured: MeasuredResources) -> None:
    """Each container's usage, with the pod's labels; the window is that of the latest figure."""
    found = await answer(measured, "get", asked("pods", "p"))
    assert found["metadata"].pop("creationTimestamp")
    assert found == {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": "p", "namespace": "default", "labels": {"app": "web"}},
        "timestamp": "2026-01-01T00:00:00Z",
        "window": "10.02s",
        "containers": [
            {"name": "b", "usage": {"cpu": "7n", "memory": "1001"}},
            {"name": "c", "usage": {"cpu": "500n", "memory": "2Ki"}},
        ],
    }


async def test_a_node(measured: MeasuredResources) -> None:
    """As above; a node that does not answer is not there, and takes no other with it."""
    found = await answer(measured, "list", asked("nodes"))
    assert (found["kind"], found["apiVersion"]) == ("NodeMetricsList", "metrics.k8s.io/v1beta1")
    (node,) = found["items"]
    assert (node["metadata"]["name"], node["metadata"]["labels"]) == ("n1", {"disk": "n1"})
    assert node["usage"] == {"cpu": "2000000000n", "memory": "3072Ki"}
    with pytest.raises(ApiError, match="not found"):
        await measured.answer("get", asked("nodes", "n2"))


async def test_selectors(measured: MeasuredResources) -> None:
    """By the labels of the pods and nodes themselves, and by name; another namespace's figures are nobody's here."""

    async def names(plural: str, **query: str) -> list[str]:
        found = await answer(measured, "list", asked(plural, **query))
        return [item["metadata"]["name"] for item in found["items"]]

    assert await names("pods") == ["p"]
    assert await names("pods", labelSelector="app=web") == ["p"]
    assert await names("pods", labelSelector="app!=web") == []
    assert await names("pods", fieldSelector="metadata.name=p2") == []
    assert await names("nodes", labelSelector="disk in (n1)") == ["n1"]
    assert await names("nodes", labelSelector="disk=n2") == []
    with pytest.raises(ApiError, match="not found"):
        await measured.answer("get", asked("pods", "absent"))


def test_what_clients_are_told_of_it(registry: Registry) -> None:
    """Discovery has the group, with the reads that there are; its types are not described."""
    document = Discovery(registry, "h:1").legacy("/apis/metrics.k8s.io/v1beta1")
    assert document is not None
    listed = {entry["name"]: entry for entry in json.loads(document.body)["resources"]}
    assert {name: (entry["kind"], entry["verbs"], entry["namespaced"]) for name, entry in listed.items()} == {
        "nodes": ("NodeMetrics", ["get", "list"], False),
        "pods": ("PodMetrics", ["get", "list"], True),
    }
    assert "apis/metrics.k8s.io/v1beta1" not in OpenApi(registry).paths()
