"""Rules: how far the change of a claim's VolumeAttributesClass is, and what is to be done next. Pure.

The states are those of `status.modifyVolumeStatus`; none: the volume has the class that the claim names, or never had one.

    (none) ─► InProgress ─► (none)
       │        ▲   │ the driver takes no such parameters
       ▼        │   ▼
    Pending ────┴─ Infeasible     asked again; for another class, at once
    there is no such class
"""

from typing import Any, Final

from lightkube.models.core_v1 import PersistentVolumeClaim

PENDING: Final = "Pending"
IN_PROGRESS: Final = "InProgress"
INFEASIBLE: Final = "Infeasible"
_MODIFYING: Final = "ModifyingVolume"
_ERROR: Final = "ModifyVolumeError"


def target_class(claim: PersistentVolumeClaim) -> str:
    """The class that the volume is to get; empty: none."""
    if claim.spec is None or claim.status is None or claim.status.phase != "Bound":
        return ""
    wanted = claim.spec.volumeAttributesClassName or ""
    current = claim.status.currentVolumeAttributesClassName or ""
    return wanted if wanted != current else ""


def is_left_over(claim: PersistentVolumeClaim) -> bool:
    """Whether the claim tells of a change that is not wanted any more: it names again what it has."""
    return not target_class(claim) and claim.status is not None and claim.status.modifyVolumeStatus is not None


def pending() -> dict[str, Any]:
    """The claim's status while there is no such class. Its conditions stay those of what was before."""
    return {"modifyVolumeStatus": {"status": PENDING}}


def begun(name: str, now: str) -> dict[str, Any]:
    """When the driver is asked."""
    doing = _condition(_MODIFYING, now, "ModifyVolume operation in progress.")
    return _status(IN_PROGRESS, name) | {"conditions": [doing, _without(_ERROR)]}


def failed(name: str, message: str, now: str, *, infeasible: bool) -> dict[str, Any]:
    """`infeasible`: it will not work however often it is asked for."""
    why = _condition(_ERROR, now, f"ModifyVolume failed with error: {message}. Waiting for retry.")
    state = INFEASIBLE if infeasible else IN_PROGRESS
    return _status(state, name) | {"conditions": [why, _without(_MODIFYING)]}


def finished(name: str) -> dict[str, Any]:
    """The volume has it."""
    return settled() | {"currentVolumeAttributesClassName": name}


def settled() -> dict[str, Any]:
    """Nothing is left to do."""
    return {"modifyVolumeStatus": None, "conditions": [_without(_ERROR), _without(_MODIFYING)]}


def _status(state: str, name: str) -> dict[str, Any]:
    return {"modifyVolumeStatus": {"status": state, "targetVolumeAttributesClassName": name}}


def _condition(name: str, now: str, message: str) -> dict[str, Any]:
    """As in a strategic merge patch: conditions are merged by type."""
    return {"type": name, "status": "True", "lastTransitionTime": now, "message": message}


def _without(name: str) -> dict[str, Any]:
    return {"type": name, "$patch": "delete"}
