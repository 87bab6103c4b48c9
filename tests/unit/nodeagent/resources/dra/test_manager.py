"""Claims prepared, shared and given back, across failures and restarts. docs/facts/node-resources.md 12.3."""

from typing import Any

import pytest
from lightkube.models.core_v1 import ResourceHealth, ResourceStatus

from nodeagent.podspec.pod import PodUID
from nodeagent.resources.dra.pod_claims import NotPrepared
from proto import dra_health_pb2 as health

A, B = "a.example", "b.example"


async def refused(node: Any, pod: Any) -> str:
    with pytest.raises(NotPrepared) as caught:
        await node.manager().prepare(pod)
    return str(caught.value)


async def test_each_driver_is_asked_once_for_all_claims(node: Any, pod_with: Any) -> None:
    """One call a driver, again only by the next agent; each container gets what its claims have."""
    node.driver(A), node.driver(B)
    node.claim("x", A), node.claim("y", A, B)
    manager, pod = node.manager(), pod_with("x", "y")
    await manager.prepare(pod)
    await manager.prepare(pod)
    assert sorted(node.calls) == [f"{A} prepare x y", f"{B} prepare y"]
    assert manager.cdi_ids(pod, pod.spec.containers[0]) == (f"{A}/x=x", f"{A}/x=y", f"{B}/x=y")
    assert manager.in_use() == (2, {A: 2, B: 1})
    again = node.manager()
    assert again.cdi_ids(pod, pod.spec.containers[0]) == (f"{A}/x=x", f"{A}/x=y", f"{B}/x=y")
    await again.prepare(pod)
    assert len(node.calls) == 4
    assert node.operations == [("PrepareResources", False)] * 3


async def test_two_entries_of_one_claim(node: Any, pod_with: Any) -> None:
    """It is prepared once, and given back once."""
    node.driver(A)
    node.claim("x", A)
    entries = [{"name": name, "resourceClaimName": "x"} for name in ("one", "other")]
    manager = node.manager()
    await manager.prepare(pod_with(resourceClaims=entries))
    await manager.unprepare(PodUID("u1"))
    assert node.calls == [f"{A} prepare x", f"{A} unprepare x"]


async def test_a_shared_claim_is_given_back_by_the_last_pod(node: Any, pod_with: Any) -> None:
    """Also by an agent that has not prepared it; and nothing is left in its checkpoint."""
    node.driver(A)
    node.claim("x", A, pods=("u1", "u2"))
    manager = node.manager()
    await manager.prepare(pod_with("x"))
    await manager.prepare(pod_with("x", uid="u2"))
    await manager.unprepare(PodUID("u1"))
    assert node.calls == [f"{A} prepare x"]
    await node.manager().unprepare(PodUID("u2"))
    await node.manager().unprepare(PodUID("u2"))
    assert node.calls == [f"{A} prepare x", f"{A} unprepare x"]
    assert node.manager().in_use() == (0, {})


async def test_what_keeps_a_pod_waiting(node: Any, pod_with: Any) -> None:
    """The claim, its driver, the driver's word, another claim of its name; a pod without an API has none."""
    assert await refused(node, pod_with("x")) == 'fetch ResourceClaim x: resourceclaims "x" not found'
    node.claim("x", A)
    assert await refused(node, pod_with("x")) == f"DRA driver {A} is not registered"
    assert node.manager().in_use() == (0, {})  # a pod whose driver never was here can go as it came
    node.driver(A).error = "broken"
    assert await refused(node, pod_with("x")) == "broken"
    node.drivers[A].error = ""
    node.claim("x", A, uid="new")
    assert await refused(node, pod_with("x")) == (
        "old ResourceClaim with same name x and different UID uid-x still exists (previous pod force-deleted?!)"
    )
    with pytest.raises(NotPrepared, match="fetch ResourceClaim x: this node has no API server"):
        await node.manager(api=False).prepare(pod_with("x"))


async def test_one_driver_fails_of_two(node: Any, pod_with: Any) -> None:
    """Nothing counts as prepared, the pod is noted, and both are asked to take back what may be there."""
    node.driver(A), node.driver(B)
    node.drivers[B].error = "broken"
    node.claim("x", A, B)
    assert await refused(node, pod_with("x")) == "broken"
    manager = node.manager()
    with pytest.raises(NotPrepared, match="broken"):
        await manager.unprepare(PodUID("u1"))
    node.drivers[B].error = ""
    await manager.unprepare(PodUID("u1"))
    assert node.manager().in_use() == (0, {})


async def test_pods_that_vanished(node: Any, pod_with: Any) -> None:
    """What they had is given back by itself, when their driver is there again."""
    node.driver(A)
    node.claim("x", A)
    manager = node.manager()
    await manager.prepare(pod_with("x"))
    node.known = {"u1"}
    await manager.reconcile()
    node.known, gone = set(), node.drivers.pop(A)
    await manager.reconcile()
    assert manager.in_use()[0] == 1
    node.drivers[A] = gone
    await manager.reconcile()
    assert node.calls[-1] == f"{A} unprepare x"


async def test_the_health_of_a_containers_devices(node: Any, pod_with: Any) -> None:
    """Unknown until the driver tells of it; the pods that have a device are found by it."""
    node.driver(A)
    node.claim("x", A)
    manager, pod = node.manager(), pod_with("x")
    await manager.prepare(pod)
    (device,) = manager.devices_of(pod, pod.spec.containers[0])
    assert (device.shown, device.id, device.health.status) == ("claim:x", f"{A}/x=x", "Unknown")
    told = health.DeviceHealth(health=health.UNHEALTHY, message="hot")
    told.device.pool_name, told.device.device_name = "pool", "dev-x"
    node.health.told(A, [told])
    (device,) = manager.devices_of(pod, pod.spec.containers[0])
    assert (device.health.status, device.health.message) == ("Unhealthy", "hot")
    device_health = ResourceHealth(resourceID=f"{A}/x=x", health="Unhealthy", message="hot")
    (shown,) = manager.health_of(pod, pod.spec.containers[0])
    assert shown == ResourceStatus(name="claim:x", resources=[device_health])
    assert manager.pods_with(node.health.changes()) == {"u1"}
