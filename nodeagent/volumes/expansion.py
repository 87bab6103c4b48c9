"""To what size a claim's volume is to grow on this node (docs/facts/storage.md 9). Pure."""

from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim

from runtimes.kube import quantity

STORAGE = "storage"
PENDING = "NodeResizePending"
IN_PROGRESS = "NodeResizeInProgress"
INFEASIBLE = "NodeResizeInfeasible"


def wanted_bytes(claim: PersistentVolumeClaim, bound: PersistentVolume) -> int | None:
    """None: it has the size that it is to have, or it is not this node's turn.

    A resize controller that says nothing of its steps (before 1.34) leaves it to the volume's capacity.
    """
    status = claim.status
    capacity = _bytes(bound.spec.capacity if bound.spec is not None else None)
    if status is None or capacity is None or capacity <= (_bytes(status.capacity) or 0):
        return None
    step = (status.allocatedResourceStatuses or {}).get(STORAGE)
    allocated = _bytes(status.allocatedResources)
    if step is None and allocated is None:
        return capacity
    if step in (PENDING, IN_PROGRESS):
        return capacity if allocated is None else allocated
    return None


def _bytes(resources: dict[str, str] | None) -> int | None:
    """None: not said, or not readably."""
    try:
        return quantity.value(resources[STORAGE]) if resources and STORAGE in resources else None
    except quantity.InvalidQuantity:
        return None
