"""To what size a claim's volume is to grow on this node, and how its status tells of it (docs/facts/storage.md 9). Pure.

A resize controller tells its steps in `status.allocatedResourceStatuses`, the size in `status.allocatedResources`; one that does
not (before 1.34) leaves both to the volume's capacity. Patches are strategic ones of the claim's status.
"""

from collections.abc import Mapping
from datetime import datetime

from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim

from runtimes.kube import quantity
from runtimes.kube.json_object import JsonObject

STORAGE = "storage"
PENDING = "NodeResizePending"
IN_PROGRESS = "NodeResizeInProgress"
INFEASIBLE = "NodeResizeInfeasible"
ERROR = "NodeResizeError"
_OF_THE_CONTROLLER = "ControllerResizeError"
_UNDER_WAY = ("Resizing", "FileSystemResizePending")
# the size of a claim that many nodes mount is recorded by the first of them; this says that the others have nothing to do
_NOT_REQUIRED = "volume.kubernetes.io/node-expansion-not-required"


def wanted_bytes(claim: PersistentVolumeClaim, bound: PersistentVolume) -> int | None:
    """None: it has the size that it is to have, or it is not this node's turn."""
    capacity = _bytes(bound.spec.capacity if bound.spec is not None else None)
    if claim.status is None or capacity is None or capacity <= recorded_bytes(claim):
        return None
    step, allocated = _step(claim), _bytes(claim.status.allocatedResources)
    if step is None and allocated is None:
        return capacity
    if step in (PENDING, IN_PROGRESS):
        return capacity if allocated is None else allocated
    return None


def recorded_bytes(claim: PersistentVolumeClaim) -> int:
    """The size that the claim shows."""
    return (_bytes(claim.status.capacity) if claim.status is not None else None) or 0


def grown_elsewhere(claim: PersistentVolumeClaim, bound: PersistentVolume, known_bytes: int) -> int | None:
    """The size that another node has let a shared volume have, which this one knew with `known_bytes` and has to follow."""
    modes = (bound.spec.accessModes if bound.spec is not None else None) or ()
    annotations = (claim.metadata.annotations if claim.metadata is not None else None) or {}
    if "ReadWriteMany" not in modes or _NOT_REQUIRED in annotations or known_bytes == 0:
        return None
    size_bytes = recorded_bytes(claim)
    return size_bytes if size_bytes > known_bytes else None


def begun(claim: PersistentVolumeClaim) -> JsonObject | None:
    """The patch that says so, where somebody waits for that."""
    return _patch(claim, {"allocatedResourceStatuses": {STORAGE: IN_PROGRESS}}) if _step(claim) == PENDING else None


def finished(claim: PersistentVolumeClaim, size_bytes: int) -> JsonObject:
    known = {condition.type for condition in (claim.status.conditions if claim.status is not None else None) or ()}
    status: JsonObject = {"capacity": {STORAGE: quantity.from_bytes(size_bytes)}}
    if _step(claim) is not None:
        status["allocatedResourceStatuses"] = {STORAGE: None}
    gone = [kind for kind in (*_UNDER_WAY, ERROR, _OF_THE_CONTROLLER) if kind in known]
    if gone:
        status["conditions"] = [{"type": kind, "$patch": "delete"} for kind in gone]
    return _patch(claim, status)


def failed(claim: PersistentVolumeClaim, error: Exception, now: datetime, *, infeasible: bool) -> JsonObject:
    condition = {
        "type": ERROR,
        "status": "True",
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "message": f"failed to expand pvc with {error}",
    }
    status: JsonObject = {"conditions": [condition]}
    if infeasible:
        status["allocatedResourceStatuses"] = {STORAGE: INFEASIBLE}
    return _patch(claim, status)


def is_given_up(claim: PersistentVolumeClaim, target_bytes: int) -> bool:
    """After a failure: whether the claim's owner asks for another size by now, so that this one is of no use any more."""
    conditions = (claim.status.conditions if claim.status is not None else None) or ()
    resources = claim.spec.resources if claim.spec is not None else None
    asked = _bytes(resources.requests if resources is not None else None)
    return any(condition.type == ERROR for condition in conditions) and asked is not None and asked != target_bytes


def _patch(claim: PersistentVolumeClaim, status: JsonObject) -> JsonObject:
    """Of the claim as it was read: who changed it since is not overruled."""
    version = claim.metadata.resourceVersion if claim.metadata is not None else None
    return {"metadata": {"resourceVersion": version}, "status": status}


def _step(claim: PersistentVolumeClaim) -> str | None:
    statuses: Mapping[str, str] = (claim.status.allocatedResourceStatuses if claim.status is not None else None) or {}
    return statuses.get(STORAGE)


def _bytes(resources: Mapping[str, str] | None) -> int | None:
    """None: not said, or not readably."""
    try:
        return quantity.value(resources[STORAGE]) if resources and STORAGE in resources else None
    except quantity.InvalidQuantity:
        return None
