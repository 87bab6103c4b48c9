"""Who may use a ResourceClaim, and what it is given: written before its first pod is bound, taken back after the last."""

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.kinds.base import name_of, namespace_of, uid_of
from nodeagent.apiserver.kinds.scheduling.resource_claims import CLAIMS, Allocations
from runtimes.kube.json_object import JsonObject

PROTECTION = "resource.kubernetes.io/delete-protection"


async def reserve(api: LocalApi, pod: JsonObject, given: Allocations) -> None:
    """Give the pod's claims what was found for them, and note the pod. Repeatable. Raises ApiError."""
    consumer = {"resource": "pods", "name": name_of(pod), "uid": uid_of(pod)}
    for (namespace, name), allocation in given.items():
        # what has devices must not vanish before they are given back
        await api.patch(CLAIMS, namespace, name, {"metadata": {"finalizers": [PROTECTION]}})
        status = {"allocation": allocation, "reservedFor": [consumer]}
        await api.patch(CLAIMS, namespace, name, {"status": status}, subresource="status")


async def set_consumers(api: LocalApi, claim: JsonObject, consumers: list[JsonObject]) -> None:
    """Note who still uses the claim; with nobody left it has nothing any more. Raises ApiError (409: it has changed)."""
    left = {**claim, "status": {**(claim.get("status") or {}), "reservedFor": consumers}}
    if not consumers:
        left["status"] = {
            name: value
            for name, value in left["status"].items()
            if name not in ("allocation", "devices", "reservedFor")
        }
    written = await api.update(CLAIMS, left, subresource="status")
    if not consumers:
        await release(api, written)


async def release(api: LocalApi, claim: JsonObject) -> None:
    """Nothing keeps a claim that has nothing. Raises ApiError."""
    finalizers = claim["metadata"].get("finalizers") or []
    if PROTECTION in finalizers:
        metadata = {**claim["metadata"], "finalizers": [each for each in finalizers if each != PROTECTION]}
        await api.update(CLAIMS, {**claim, "metadata": metadata})


def key_of(claim: JsonObject) -> tuple[str, str]:
    return namespace_of(claim), name_of(claim)
