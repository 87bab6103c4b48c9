"""Volumes that are attached to the nodes of the pods that use them."""

from typing import Any

import pytest

from nodeagent.apiserver.kinds.controllers.attachments import (
    ATTACHMENTS,
    CLAIMS,
    DRIVERS,
    NODES,
    VOLUMES,
    AttachmentController,
    use_of,
)

DEVICE = "kubernetes.io/csi/d.example^h"


def volume(driver: str = "d.example") -> Any:
    spec = {
        "csi": {"driver": driver, "volumeHandle": "h"},
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "volumeMode": "Filesystem",
    }
    return {"metadata": {"name": "pv"}, "spec": spec}


def driver(required: bool) -> Any:
    return {"metadata": {"name": "d.example"}, "spec": {"attachRequired": required}}


@pytest.fixture
def site(cluster: Any, new_pod: Any) -> Any:
    """A pod on node1 with a bound claim of a volume of a driver that attaches."""
    cluster.put(NODES, {"metadata": {"name": "node1"}, "status": {}})
    cluster.put(VOLUMES, volume())
    claim = {
        "metadata": {"name": "c", "namespace": "default"},
        "spec": {"volumeName": "pv"},
        "status": {"phase": "Bound"},
    }
    cluster.put(CLAIMS, claim)
    pod = new_pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}], nodeName="node1")
    pod["metadata"]["name"] = "p"
    cluster.put("pods", pod)
    return cluster


def status(cluster: Any, resource: str, name: str, **fields: Any) -> None:
    obj = cluster.objects[(resource, "", name)]
    cluster.put(resource, {**obj, "status": {**(obj.get("status") or {}), **fields}})


def listed(cluster: Any) -> list[str]:
    return [each["name"] for each in cluster.objects[(NODES, "", "node1")]["status"].get("volumesAttached") or ()]


def attachments(cluster: Any) -> list[str]:
    return [each["metadata"]["name"] for each in cluster.all(ATTACHMENTS)]


async def test_a_life(site: Any, running: Any, settled: Any) -> None:
    """Asked for when a pod has a node; listed once it is attached; not listed first, and only then detached, when the node
    does not use it any more."""
    async with running(AttachmentController(site)):
        (name,) = attachments(site)
        expected = {"attacher": "d.example", "nodeName": "node1", "source": {"persistentVolumeName": "pv"}}
        assert site.objects[(ATTACHMENTS, "", name)]["spec"] == expected
        assert listed(site) == []
        status(site, ATTACHMENTS, name, attached=True)
        await settled()
        assert listed(site) == [DEVICE]
        status(site, NODES, "node1", volumesInUse=[DEVICE])
        pod = site.objects[("pods", "default", "p")]
        site.put("pods", {**pod, "status": {"phase": "Succeeded"}})
        await settled()
        assert (listed(site), attachments(site)) == ([], [name])
        status(site, NODES, "node1", volumesInUse=[])
        await settled()
        assert attachments(site) == []
    (told,) = site.all("events")
    assert (told["reason"], told["message"]) == (
        "SuccessfulAttachVolume",
        'AttachVolume.Attach succeeded for volume "pv" ',
    )


async def test_one_that_fails(site: Any, running: Any, settled: Any) -> None:
    """The pod is told why, once; others' attachments are left alone."""
    foreign = {"attacher": "x", "nodeName": "node1", "source": {"persistentVolumeName": "gone"}}
    site.put(ATTACHMENTS, {"metadata": {"name": "by-hand"}, "spec": foreign})
    async with running(AttachmentController(site)):
        name = next(each for each in attachments(site) if each != "by-hand")
        for _ in range(2):
            status(site, ATTACHMENTS, name, attachError={"message": "no room", "time": "2026-01-01T00:00:00Z"})
            await settled()
    assert [each["message"] for each in site.all("events")] == ['AttachVolume.Attach failed for volume "pv" : no room']
    assert len(attachments(site)) == 2


async def test_a_driver_that_does_not_attach(site: Any, running: Any, settled: Any) -> None:
    """Its CSIDriver object says so; without one it does."""
    site.put(DRIVERS, driver(required=False))
    async with running(AttachmentController(site)):
        await settled()
    assert attachments(site) == []
    assert use_of(volume(), "n", {"d.example": driver(required=True)}) is not None
    assert use_of({**volume(), "spec": {"nfs": {}}}, "n", {}) is None
