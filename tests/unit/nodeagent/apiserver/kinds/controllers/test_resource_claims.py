"""Claims of templates, their allocation before a pod is bound, and what becomes of them after it."""

from typing import Any

from nodeagent.apiserver.kinds.controllers.reservations import PROTECTION
from nodeagent.apiserver.kinds.controllers.resource_claims import TEMPLATES, ResourceClaimController
from nodeagent.apiserver.kinds.controllers.scheduler import Scheduler
from nodeagent.apiserver.kinds.scheduling.resource_claims import CLAIMS, CLASSES, SLICES

DRIVER = "gpu.example"
EXACTLY = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}
ASKED = {"devices": {"requests": [{"name": "r", "exactly": EXACTLY}]}}


def site(cluster: Any, *devices: str) -> None:
    allocatable = {"cpu": "4", "memory": "4Gi", "pods": "10"}
    cluster.put("nodes", {"metadata": {"name": "node1"}, "spec": {}, "status": {"allocatable": allocatable}})
    cluster.put(CLASSES, {"metadata": {"name": "gpu"}, "spec": {}})
    cluster.put(TEMPLATES, {"metadata": {"name": "t", "namespace": "default"}, "spec": {"spec": ASKED}})
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": DRIVER, "nodeName": "node1", "pool": pool, "devices": [{"name": name} for name in devices]}
    cluster.put(SLICES, {"metadata": {"name": "s"}, "spec": spec})


def pod(new_pod: Any, name: str, **entry: str) -> Any:
    made = new_pod(resourceClaims=[{"name": "gpu", **(entry or {"resourceClaimTemplateName": "t"})}])
    made["metadata"] |= {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return made


def claims(cluster: Any) -> dict[str, Any]:
    """By the pod that owns it, else by name."""
    found = cluster.all(CLAIMS)
    return {(each["metadata"].get("ownerReferences") or [each["metadata"]])[0]["name"]: each for each in found}


def bound(cluster: Any) -> list[str]:
    return sorted(each["metadata"]["name"] for each in cluster.all("pods") if each["spec"].get("nodeName"))


async def test_made_given_and_given_back(cluster: Any, new_pod: Any, running: Any, settled: Any) -> None:
    """One claim a pod, given and noted before the pod is bound; the next pod waits for the device until the first is over."""
    site(cluster, "a")
    async with running(ResourceClaimController(cluster)), running(Scheduler(cluster)):
        cluster.put("pods", pod(new_pod, "first"))
        await settled()
        cluster.put("pods", pod(new_pod, "next"))
        await settled()
        first = claims(cluster)["first"]
        assert first["metadata"]["annotations"] == {"resource.kubernetes.io/pod-claim-name": "gpu"}
        assert first["metadata"]["finalizers"] == [PROTECTION]
        assert first["status"]["reservedFor"] == [{"resource": "pods", "name": "first", "uid": "uid-first"}]
        (result,) = first["status"]["allocation"]["devices"]["results"]
        assert result == {"request": "r", "driver": DRIVER, "pool": "p", "device": "a"}
        assert bound(cluster) == ["first"]
        assert "cannot allocate all claims" in str(cluster.objects[("pods", "default", "next")]["status"])

        done = cluster.objects[("pods", "default", "first")]
        cluster.put("pods", {**done, "status": {**done["status"], "phase": "Succeeded"}})
        await settled()
        assert (bound(cluster), list(claims(cluster))) == (["first", "next"], ["next"])


async def test_shared_and_missing(cluster: Any, new_pod: Any, running: Any, settled: Any) -> None:
    """A claim of its own right is given once, to all of its pods, and stays, free, when they have gone; a pod whose claim is not
    there waits."""
    site(cluster, "a")
    async with running(ResourceClaimController(cluster)), running(Scheduler(cluster)):
        for name in ("one", "two"):
            cluster.put("pods", pod(new_pod, name, resourceClaimName="c"))
        await settled()
        assert 'resourceclaim "c" not found' in str(cluster.objects[("pods", "default", "one")]["status"])
        cluster.put(CLAIMS, {"metadata": {"name": "c", "namespace": "default", "uid": "u"}, "spec": ASKED})
        await settled()
        assert bound(cluster) == ["one", "two"]
        reserved = claims(cluster)["c"]["status"]["reservedFor"]
        assert {each["name"] for each in reserved} >= {"two"}
        for name in ("one", "two"):
            cluster.remove("pods", "default", name)
        await settled()
        assert not claims(cluster)["c"].get("status")
        assert not claims(cluster)["c"]["metadata"].get("finalizers")
