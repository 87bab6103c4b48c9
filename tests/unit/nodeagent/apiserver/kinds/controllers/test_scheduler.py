"""Pods get their node at once, or hear why not."""

from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.controllers.scheduler import Scheduler


def node(**more: Any) -> Any:
    return {
        "metadata": {"name": "node1"},
        "spec": more,
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "110"}},
    }


@pytest.fixture
def put_pod(cluster: Any, new_pod: Any) -> Any:
    """Store a pod that asks for an amount of CPU."""

    def put(name: str, cpu: str = "1", **spec: Any) -> None:
        pod = new_pod(name, schedulerName="default-scheduler", **spec)
        pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
        cluster.put("pods", {**pod, "status": {"phase": "Pending"}})

    return put


def binds(cluster: Any) -> list[str]:
    return [pod for verb, pod, _ in cluster.log if verb == "bind"]


def events(cluster: Any) -> list[tuple[str, str, str, str]]:
    return sorted(
        (item["involvedObject"]["name"], item["type"], item["reason"], item["message"])
        for item in cluster.all("events")
    )


def scheduled_condition(cluster: Any, name: str) -> Any:
    conditions = cluster.objects[("pods", "default", name)]["status"].get("conditions") or []
    return [{k: v for k, v in item.items() if k != "lastTransitionTime"} for item in conditions]


NO_CPU = (
    "0/1 nodes are available: 1 Insufficient cpu. "
    "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
)
TAINTED = (
    "0/1 nodes are available: 1 node(s) had untolerated taint {a: }. "
    "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)


async def test_binds_what_fits(cluster: Any, put_pod: Any, running: Any, settled: Any) -> None:
    """A fitting pod is bound as soon as it is there, with an event that says so."""
    cluster.put("nodes", node())
    async with running(Scheduler(cluster)):
        put_pod("a")
        await settled()
    assert cluster.objects[("pods", "default", "a")]["spec"]["nodeName"] == "node1"
    assert events(cluster) == [("a", "Normal", "Scheduled", "Successfully assigned default/a to node1")]


async def test_tells_why_once(cluster: Any, put_pod: Any, running: Any, settled: Any) -> None:
    """What does not fit stays Pending with condition and event, told once, and is bound when there is room."""
    cluster.put("nodes", node())
    put_pod("full", "2", nodeName="node1")
    async with running(Scheduler(cluster)):
        put_pod("a")
        await settled()
        assert scheduled_condition(cluster, "a") == [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_CPU}
        ]
        cluster.put("nodes", {**node(), "metadata": {"name": "node1", "annotations": {"x": "y"}}})
        await settled()
        assert events(cluster) == [("a", "Warning", "FailedScheduling", NO_CPU)]
        cluster.put("nodes", node(taints=[{"key": "a", "effect": "NoSchedule"}]))
        await settled()
        assert events(cluster)[1] == ("a", "Warning", "FailedScheduling", TAINTED)
        cluster.put("nodes", node())
        cluster.remove("pods", "default", "full")
        await settled()
    assert binds(cluster) == ["a"]


async def test_priority_first(cluster: Any, put_pod: Any, running: Any) -> None:
    """With room for one, the most important pod gets it."""
    put_pod("a", "2")
    put_pod("b", "2", priority=5)
    cluster.put("nodes", node())
    async with running(Scheduler(cluster)):
        assert binds(cluster) == ["b"]


async def test_burst_does_not_overbook(cluster: Any, put_pod: Any, running: Any, settled: Any) -> None:
    """Pods that come together are counted against each other before their bindings are confirmed."""
    cluster.put("nodes", node())
    async with running(Scheduler(cluster)):
        for index in range(5):
            put_pod(f"p{index}")
        await settled()
        assert binds(cluster) == ["p0", "p1"]
        cluster.put("pods", {**cluster.objects[("pods", "default", "p0")], "status": {"phase": "Succeeded"}})
        await settled()
    assert binds(cluster) == ["p0", "p1", "p2"]


async def test_leaves_alone(cluster: Any, put_pod: Any, running: Any, settled: Any) -> None:
    """Pods of another scheduler, deleted ones and gated ones are not bound; gated ones say so."""
    cluster.put("nodes", node())
    async with running(Scheduler(cluster)):
        put_pod("other")
        other = cluster.objects[("pods", "default", "other")]
        cluster.remove("pods", "default", "other")
        put_pod("gated", schedulingGates=[{"name": "g"}])
        cluster.put("pods", {**other, "spec": {**other["spec"], "schedulerName": "mine"}})
        deleted = {**other["metadata"], "name": "gone", "deletionTimestamp": "2026-01-01T00:00:00Z"}
        cluster.put("pods", {**other, "metadata": deleted})
        await settled()
        assert binds(cluster) == []
        assert scheduled_condition(cluster, "gated") == [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]
        assert events(cluster) == []
        gated = cluster.objects[("pods", "default", "gated")]
        cluster.put("pods", {**gated, "spec": {**gated["spec"], "schedulingGates": []}})
        await settled()
    assert binds(cluster) == ["gated"]


async def test_waits_for_claims(cluster: Any, put_pod: Any, running: Any, settled: Any) -> None:
    """A pod waits until its claim exists and is bound; the messages say which."""
    cluster.put("nodes", node())
    claim = {"metadata": {"name": "data", "namespace": "default"}, "spec": {}, "status": {"phase": "Pending"}}
    tail = ". preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    async with running(Scheduler(cluster)):
        put_pod("a", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
        await settled()
        cluster.put("persistentvolumeclaims", claim)
        await settled()
        assert sorted(message for _, _, _, message in events(cluster)) == [
            '0/1 nodes are available: persistentvolumeclaim "data" not found' + tail,
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims" + tail,
        ]
        cluster.put("persistentvolumeclaims", {**claim, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}})
        await settled()
    assert binds(cluster) == ["a"]


async def test_first_consumer(cluster: Any, put_pod: Any, running: Any, settled: Any) -> None:
    """A claim that waits for its first consumer is told the node, and its pod is bound after it."""
    cluster.put("nodes", node())
    cluster.put(
        "storageclasses.storage.k8s.io", {"metadata": {"name": "late"}, "volumeBindingMode": "WaitForFirstConsumer"}
    )
    spec = {"storageClassName": "late", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {**spec, "volumeMode": "Filesystem"},
        "status": {},
    }
    cluster.put("persistentvolumeclaims", claim)
    async with running(Scheduler(cluster)):
        put_pod("a", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
        await settled()
        stored = cluster.objects[("persistentvolumeclaims", "default", "data")]
        assert stored["metadata"]["annotations"] == {"volume.kubernetes.io/selected-node": "node1"}
        assert binds(cluster) == []
        bound = {**stored, "spec": {**stored["spec"], "volumeName": "pv"}, "status": {"phase": "Bound"}}
        cluster.put("persistentvolumeclaims", bound)
        await settled()
    assert binds(cluster) == ["a"]


async def test_failed_binding_frees_the_room(cluster: Any, put_pod: Any, running: Any, settled: Any) -> None:
    """A binding that the API refuses does not keep resources, and is tried again."""
    cluster.put("nodes", node())
    bind, calls = cluster.bind, []

    async def once_refused(namespace: str, pod: str, target: str, *, uid: str = "") -> None:
        calls.append(pod)
        if len(calls) == 1:
            raise ApiError.conflict("pods/binding", pod, "try again")
        await bind(namespace, pod, target, uid=uid)

    cluster.bind = once_refused
    scheduler = Scheduler(cluster)
    async with running(scheduler):
        put_pod("a", "2")
        await settled()
        assert scheduler._retry
        put_pod("b", "2", priority=9)
        await settled()
    assert calls == ["a", "b"]


async def test_history_lost(cluster: Any, put_pod: Any, running: Any, settled: Any) -> None:
    """When the watch falls too far behind, the scheduler starts over and goes on."""
    cluster.put("nodes", node())
    watch, broken = cluster.watch, []

    async def breaks_once(resource: str, *args: Any, **kwargs: Any) -> Any:
        if resource == "pods" and not broken:
            broken.append(resource)
            raise ApiError.expired("too old")
        async for event in watch(resource, *args, **kwargs):
            yield event

    cluster.watch = breaks_once
    async with running(Scheduler(cluster)):
        put_pod("a")
        await settled()
    assert (broken, binds(cluster)) == (["pods"], ["a"])
