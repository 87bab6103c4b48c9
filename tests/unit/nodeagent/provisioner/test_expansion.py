"""How far a claim's growing is, and what is asked of the driver next."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolumeClaim

from nodeagent.provisioner import expansion

GIB = 1024**3
NOW = "2026-01-01T00:00:00Z"


def claim(requested: str, *, have: str = "1Gi", phase: str = "Bound", allocated: str = "", state: str = "") -> Any:
    status: dict[str, Any] = {"phase": phase, "capacity": {"storage": have}}
    if allocated:
        status["allocatedResources"] = {"storage": allocated}
    if state:
        status["allocatedResourceStatuses"] = {"storage": state}
    spec = {"resources": {"requests": {"storage": requested}}}
    return msgspec.convert({"metadata": {"name": "c"}, "spec": spec, "status": status}, PersistentVolumeClaim)


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        (claim("1Gi"), None),
        (claim("2Gi", phase="Pending"), None),
        (claim("2Gi"), 2 * GIB),
        (claim("2Gi", allocated="2Gi", state="ControllerResizeInProgress"), 2 * GIB),
        (claim("3Gi", allocated="2Gi", state="ControllerResizeInProgress"), 2 * GIB),
        (claim("1536Mi", allocated="2Gi", state="ControllerResizeInfeasible"), 3 * GIB // 2),
        (claim("2Gi", allocated="2Gi", state="NodeResizePending"), None),
        (claim("3Gi", allocated="2Gi", state="NodeResizeInProgress"), None),
        (claim("2Gi", allocated="2Gi", state="NodeResizeInfeasible"), None),
        (claim("1536Mi", allocated="2Gi", state="NodeResizeInfeasible"), 3 * GIB // 2),
        (claim("2Gi", have="2Gi", allocated="2Gi"), None),
        (claim("2Gi", have="2Gi", allocated="2Gi", state="ControllerResizeInProgress"), 2 * GIB),
    ],
)
def test_what_is_asked_of_the_driver(asked: PersistentVolumeClaim, target: int | None) -> None:
    """What was begun is ended first; the node's part is awaited; what cannot be done is tried for less when less is asked for."""
    assert expansion.target_bytes(asked) == target


def test_what_the_claim_says() -> None:
    """Each step's status, as a strategic merge patch: what is over is taken away."""
    gone = [{"type": name, "$patch": "delete"} for name in ("Resizing", "ControllerResizeError")]
    assert expansion.begun(GIB, NOW) == {
        "allocatedResources": {"storage": "1Gi"},
        "allocatedResourceStatuses": {"storage": "ControllerResizeInProgress"},
        "conditions": [{"type": "Resizing", "status": "True", "lastTransitionTime": NOW}, gone[1]],
    }
    left = expansion.left_to_node(GIB, NOW)
    assert left["allocatedResourceStatuses"] == {"storage": "NodeResizePending"}
    assert [each["type"] for each in left["conditions"]] == [
        "FileSystemResizePending",
        "Resizing",
        "ControllerResizeError",
    ]
    assert left["conditions"][1:] == gone
    done = expansion.finished(GIB)
    assert (done["capacity"], done["allocatedResourceStatuses"]) == ({"storage": "1Gi"}, {"storage": None})
    assert all(each["$patch"] == "delete" for each in done["conditions"])
    assert "allocatedResourceStatuses" not in expansion.failed("no", NOW, infeasible=False)
    refused = expansion.failed("no", NOW, infeasible=True)
    assert refused["allocatedResourceStatuses"] == {"storage": "ControllerResizeInfeasible"}
    assert refused["conditions"][0]["message"] == "no"
