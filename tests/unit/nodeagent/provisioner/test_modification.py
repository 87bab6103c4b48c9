"""How far the change of a claim's VolumeAttributesClass is, and what is to be done next."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolumeClaim

from nodeagent.provisioner import modification

NOW = "2026-01-01T00:00:00Z"


def claim(wanted: str | None, current: str | None = None, *, phase: str = "Bound", state: str = "") -> Any:
    status: dict[str, Any] = {"phase": phase, "currentVolumeAttributesClassName": current}
    if state:
        status["modifyVolumeStatus"] = {"status": state, "targetVolumeAttributesClassName": "x"}
    spec = {"volumeAttributesClassName": wanted}
    return msgspec.convert({"metadata": {"name": "c"}, "spec": spec, "status": status}, PersistentVolumeClaim)


@pytest.mark.parametrize(
    ("asked", "target", "left_over"),
    [
        (claim(None), "", False),
        (claim("a", phase="Pending"), "", False),
        (claim("a"), "a", False),
        (claim("a", "a"), "", False),
        (claim("b", "a", state="InProgress"), "b", False),
        (claim("b", "a", state="Infeasible"), "b", False),
        (claim("b", "a", state="Pending"), "b", False),
        (claim("a", "a", state="Infeasible"), "", True),
        (claim(None, state="Pending"), "", True),
        (claim("", state="InProgress"), "", True),
    ],
)
def test_what_is_asked_of_the_driver(asked: PersistentVolumeClaim, target: str, left_over: bool) -> None:
    """The class that the claim names, however far another try was; a claim that has gone back is told to be done."""
    assert (modification.target_class(asked), modification.is_left_over(asked)) == (target, left_over)


def test_what_the_claim_says() -> None:
    """Each step's status, as a strategic merge patch: what is over is taken away."""
    doing, error = ({"type": name, "$patch": "delete"} for name in ("ModifyingVolume", "ModifyVolumeError"))
    begun = modification.begun("a", NOW)
    assert begun["modifyVolumeStatus"] == {"status": "InProgress", "targetVolumeAttributesClassName": "a"}
    progress = {"message": "ModifyVolume operation in progress.", "status": "True", "lastTransitionTime": NOW}
    assert begun["conditions"] == [{"type": "ModifyingVolume", **progress}, error]
    for infeasible, state in ((True, "Infeasible"), (False, "InProgress")):
        failed = modification.failed("a", "no", NOW, infeasible=infeasible)
        assert failed["modifyVolumeStatus"] == {"status": state, "targetVolumeAttributesClassName": "a"}
        assert failed["conditions"][0]["type"] == "ModifyVolumeError"
        assert failed["conditions"][0]["message"] == "ModifyVolume failed with error: no. Waiting for retry."
        assert failed["conditions"][1] == doing
    assert modification.pending() == {"modifyVolumeStatus": {"status": "Pending"}}
    done = {"modifyVolumeStatus": None, "conditions": [error, doing]}
    assert modification.settled() == done
    assert modification.finished("a") == {**done, "currentVolumeAttributesClassName": "a"}
