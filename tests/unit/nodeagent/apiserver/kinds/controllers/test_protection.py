"""Claims and volumes that are in use stay until they are not."""

from typing import Any

from nodeagent.apiserver.kinds.controllers.protection import CLAIMS, VOLUMES, StorageProtection
from nodeagent.apiserver.kinds.storage import CLAIM_PROTECTION, VOLUME_PROTECTION

GONE = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def held(cluster: Any, resource: str, name: str) -> Any:
    namespace = "default" if resource == CLAIMS else ""
    return cluster.objects[(resource, namespace, name)]["metadata"].get("finalizers")


def claim(name: str, **metadata: Any) -> Any:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    return {"metadata": {"name": name, "namespace": "default", **metadata}, "spec": spec, "status": {"phase": "Bound"}}


def volume(name: str, phase: str, **metadata: Any) -> Any:
    return {
        "metadata": {"name": name, **metadata},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/x", "type": ""},
        },
        "status": {"phase": phase},
    }


def user(new_pod: Any, name: str, node: str = "node1", **source: Any) -> Any:
    pod = new_pod(volumes=[{"name": "v", **source}], **({"nodeName": node} if node else {}))
    pod["metadata"]["name"] = name
    return pod


async def test_claims(cluster: Any, new_pod: Any, running: Any, settled: Any) -> None:
    """A claim that is being deleted keeps its finalizer while a pod that has a node names it, itself or by an ephemeral
    volume, even one that has ended; other finalizers are left alone."""
    marks = {"finalizers": ["a.b/c", CLAIM_PROTECTION], **GONE}
    for name in ("used", "idle", "done-v", "asked"):
        cluster.put(CLAIMS, claim(name, **marks))
    cluster.put("pods", user(new_pod, "one", persistentVolumeClaim={"claimName": "used"}))
    done = user(new_pod, "done", ephemeral={"volumeClaimTemplate": {}})
    cluster.put("pods", {**done, "status": {"phase": "Succeeded"}})
    cluster.put("pods", user(new_pod, "waiting", node="", persistentVolumeClaim={"claimName": "asked"}))
    async with running(StorageProtection(cluster)):
        assert held(cluster, CLAIMS, "used") == held(cluster, CLAIMS, "done-v") == ["a.b/c", CLAIM_PROTECTION]
        assert held(cluster, CLAIMS, "idle") == held(cluster, CLAIMS, "asked") == ["a.b/c"]
        cluster.remove("pods", "default", "one")
        cluster.remove("pods", "default", "done")
        await settled()
        assert held(cluster, CLAIMS, "used") == held(cluster, CLAIMS, "done-v") == ["a.b/c"]


async def test_volumes(cluster: Any, running: Any, settled: Any) -> None:
    """A volume that is being deleted waits until it is bound no more."""
    marks = {"finalizers": [VOLUME_PROTECTION], **GONE}
    cluster.put(VOLUMES, volume("bound", "Bound", **marks))
    cluster.put(VOLUMES, volume("free", "Available", **marks))
    async with running(StorageProtection(cluster)):
        assert held(cluster, VOLUMES, "bound") == [VOLUME_PROTECTION]
        assert held(cluster, VOLUMES, "free") == []
        cluster.put(VOLUMES, volume("bound", "Released", **marks))
        await settled()
        assert held(cluster, VOLUMES, "bound") == []


async def test_what_is_not_protected_becomes_so(cluster: Any, running: Any, settled: Any) -> None:
    """Objects of earlier days, and those whose finalizer was taken off by hand, get it (back)."""
    cluster.put(CLAIMS, claim("old"))
    cluster.put(VOLUMES, volume("old", "Available", finalizers=["a.b/c"]))
    async with running(StorageProtection(cluster)):
        assert held(cluster, CLAIMS, "old") == [CLAIM_PROTECTION]
        assert held(cluster, VOLUMES, "old") == ["a.b/c", VOLUME_PROTECTION]
