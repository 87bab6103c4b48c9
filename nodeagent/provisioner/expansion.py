"""Rules: how far a claim's growing is, and what is to be asked of the driver next. Pure.

The states are those of `status.allocatedResourceStatuses` (docs/facts/storage.md 9):

    (none) ─► ControllerResizeInProgress ─► NodeResizePending ─► NodeResizeInProgress ─► (none)
                 │  ▲                            the node's part: nodeagent/volumes
                 ▼  │ asked again, perhaps for less
              ControllerResizeInfeasible
"""

from typing import Any, Final

from lightkube.models.core_v1 import PersistentVolumeClaim

from nodeagent.provisioner.volume_request import quantity_text, requested_bytes
from runtimes.kube import quantity

IN_PROGRESS: Final = "ControllerResizeInProgress"
INFEASIBLE: Final = "ControllerResizeInfeasible"
NODE_PENDING: Final = "NodeResizePending"
NODE_INFEASIBLE: Final = "NodeResizeInfeasible"
_NODES_PART: Final = (NODE_PENDING, "NodeResizeInProgress")
_CONDITIONS: Final = ("Resizing", "FileSystemResizePending", "ControllerResizeError", "NodeResizeError")
_WAITS_FOR_NODE: Final = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."


def target_bytes(claim: PersistentVolumeClaim) -> int | None:
    """What the volume is to grow to; None: nothing is to be asked of the driver."""
    status = claim.status
    if status is None or status.phase != "Bound":
        return None
    requested = requested_bytes(claim)
    state = (status.allocatedResourceStatuses or {}).get("storage")
    allocated = _bytes(status.allocatedResources)
    if state == IN_PROGRESS and allocated:
        return allocated  # what was begun, or was about to be begun once more, is ended before anything else is begun
    if state in _NODES_PART or requested <= _bytes(status.capacity):
        return None
    if state == NODE_INFEASIBLE and requested == allocated:
        return None  # until less is asked for
    return requested


def begun(size_bytes: int, now: str) -> dict[str, Any]:
    """The claim's status when the driver is asked."""
    return _status(size_bytes, IN_PROGRESS, [_condition("Resizing", now)], drop=("ControllerResizeError",))


def left_to_node(size_bytes: int, now: str) -> dict[str, Any]:
    """The volume has grown, its file system has not."""
    waiting = _condition("FileSystemResizePending", now, message=_WAITS_FOR_NODE)
    return _status(size_bytes, NODE_PENDING, [waiting], drop=("Resizing", "ControllerResizeError"))


def finished(size_bytes: int) -> dict[str, Any]:
    """Nothing is left to do."""
    return _status(size_bytes, None, [], drop=_CONDITIONS) | {"capacity": {"storage": quantity_text(size_bytes)}}


def failed(message: str, now: str, *, infeasible: bool) -> dict[str, Any]:
    """`infeasible`: it will not work however often it is asked for."""
    found: dict[str, Any] = {"conditions": [_condition("ControllerResizeError", now, message=message)]}
    return found | ({"allocatedResourceStatuses": {"storage": INFEASIBLE}} if infeasible else {})


def _status(
    size_bytes: int, state: str | None, conditions: list[dict[str, Any]], *, drop: tuple[str, ...]
) -> dict[str, Any]:
    """As a strategic merge patch: conditions are merged by type, None removes."""
    return {
        "allocatedResources": {"storage": quantity_text(size_bytes)},
        "allocatedResourceStatuses": {"storage": state},
        "conditions": [*conditions, *({"type": name, "$patch": "delete"} for name in drop)],
    }


def _condition(name: str, now: str, *, message: str = "") -> dict[str, Any]:
    found = {"type": name, "status": "True", "lastTransitionTime": now}
    return found | ({"message": message} if message else {})


def _bytes(resources: dict[str, str] | None) -> int:
    return int(quantity.parse((resources or {}).get("storage", "0")))
