"""Binding and evicting pods."""

import json
from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.options import WriteOptions

Cluster = Any
Pod = dict[str, Any]


async def bind(cluster: Cluster, node: str = "n1", **metadata: Any) -> dict[str, Any]:
    body = {"metadata": {"name": "p", **metadata}, "target": {"kind": "Node", "name": node}}
    answer = await cluster.objects.bind("default", "p", body, WriteOptions(), cluster.user)
    return {"code": answer.code, **json.loads(answer.data)}


async def evict(cluster: Cluster, **options: Any) -> int:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "deleteOptions": options}
    return (await cluster.objects.evict("default", "p", body, WriteOptions(), cluster.user)).code


async def test_bind(cluster: Cluster, pod: Pod) -> None:
    """A binding names the node, says so in a condition, and brings its annotations; the generation stays."""
    del pod["spec"]["nodeName"]
    await cluster.create("pods", pod)
    answer = await bind(cluster, annotations={"a": "b"})
    assert (answer["code"], answer["kind"], answer["status"]) == (201, "Status", "Success")
    bound = cluster.get("pods", "p")
    assert (bound["spec"]["nodeName"], bound["metadata"]["annotations"], bound["metadata"]["generation"]) == (
        "n1",
        {"a": "b"},
        1,
    )
    assert bound["status"]["conditions"] == [
        {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    ]


async def test_bind_once(cluster: Cluster, pod: Pod) -> None:
    """A pod that has a node, is going away, or is another than meant is a conflict."""
    del pod["spec"]["nodeName"]
    pod["metadata"]["finalizers"] = ["a.b/c"]
    await cluster.create("pods", pod)
    with pytest.raises(ApiError) as caught:
        await bind(cluster, uid="other")
    assert caught.value.code == 409
    await bind(cluster)
    with pytest.raises(ApiError) as caught:
        await bind(cluster)
    assert (caught.value.code, caught.value.message) == (
        409,
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"',
    )
    await cluster.delete("pods", "p")
    with pytest.raises(ApiError) as caught:
        await bind(cluster)
    assert "pod p is being deleted, cannot be assigned to a host" in caught.value.message


async def test_evict(cluster: Cluster, pod: Pod) -> None:
    """An eviction marks why and deletes gracefully."""
    await cluster.create("pods", pod)
    await cluster.patch("pods", "p", {"status": {"phase": "Running"}}, subresource="status")
    assert await evict(cluster, gracePeriodSeconds=5) == 201
    evicted = cluster.get("pods", "p")
    assert evicted["metadata"]["deletionGracePeriodSeconds"] == 5
    (condition,) = evicted["status"]["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "DisruptionTarget",
        "EvictionByEvictionAPI",
        "Eviction API: evicting",
    )
