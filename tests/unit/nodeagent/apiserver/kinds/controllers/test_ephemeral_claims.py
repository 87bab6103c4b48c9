"""Claims of pods' ephemeral volumes."""

from typing import Any

from nodeagent.apiserver.kinds.controllers.ephemeral_claims import EphemeralClaims, claims_of

CLAIMS = "persistentvolumeclaims"
TEMPLATE = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def pod(new_pod: Any, name: str, *volumes: str) -> Any:
    made = new_pod(volumes=[{"name": each, "ephemeral": {"volumeClaimTemplate": TEMPLATE}} for each in volumes])
    made["metadata"] |= {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return made


async def test_made_for_their_pods(cluster: Any, new_pod: Any, running: Any, settled: Any) -> None:
    """One a volume, as its template says, the pod's own; made again while the pod is there; not for a pod that is over."""
    cluster.put("pods", pod(new_pod, "p", "x", "y"))
    cluster.put("pods", {**pod(new_pod, "done", "z"), "status": {"phase": "Failed"}})
    async with running(EphemeralClaims(cluster)):
        assert sorted(each["metadata"]["name"] for each in cluster.all(CLAIMS)) == ["p-x", "p-y"]
        made = cluster.objects[(CLAIMS, "default", "p-x")]
        assert made["metadata"]["labels"] == {"a": "b"}
        (owner,) = made["metadata"]["ownerReferences"]
        assert owner == {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "p",
            "uid": "uid-p",
            "controller": True,
            "blockOwnerDeletion": True,
        }
        cluster.remove(CLAIMS, "default", "p-x")
        await settled()
        assert (CLAIMS, "default", "p-x") in cluster.objects
    assert list(claims_of({**pod(new_pod, "p", "x"), "status": {"phase": "Succeeded"}})) == []


async def test_a_claim_that_is_anothers(cluster: Any, new_pod: Any, running: Any, settled: Any) -> None:
    """It is left alone, and the pod is told once."""
    cluster.put(CLAIMS, {"metadata": {"name": "p-x", "namespace": "default"}, "spec": TEMPLATE["spec"]})
    cluster.put("pods", pod(new_pod, "p", "x"))
    async with running(EphemeralClaims(cluster)):
        cluster.put("pods", pod(new_pod, "p", "x"))
        await settled()
    assert "ownerReferences" not in cluster.objects[(CLAIMS, "default", "p-x")]["metadata"]
    (told,) = cluster.all("events")
    assert (told["reason"], told["message"]) == (
        "FailedBinding",
        'ephemeral volume x: PVC "default/p-x" was not created for pod "default/p" (pod is not owner)',
    )
