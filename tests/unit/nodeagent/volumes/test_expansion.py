"""When it is this node's turn to let a volume grow, and to what size (docs/facts/storage.md 9)."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim

from nodeagent.volumes.expansion import wanted_bytes

GI = 1 << 30


@pytest.mark.parametrize(
    ("capacity", "status", "wanted"),
    [
        ("2Gi", {"capacity": {"storage": "1Gi"}}, 2 * GI),
        ("2Gi", {}, 2 * GI),
        ("1Gi", {"capacity": {"storage": "1Gi"}}, None),
        ("1Gi", {"capacity": {"storage": "2Gi"}}, None),
        (None, {"capacity": {"storage": "1Gi"}}, None),
        ("much", {"capacity": {"storage": "1Gi"}}, None),
    ],
)
def test_a_controller_that_does_not_tell_its_steps(capacity: Any, status: dict[str, Any], wanted: int | None) -> None:
    """What the volume has and the claim does not show yet is this node's to do."""
    assert _wanted(capacity, status) == wanted


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        ("NodeResizePending", 3 * GI),
        ("NodeResizeInProgress", 3 * GI),
        ("NodeResizeInfeasible", None),
        ("ControllerResizeInProgress", None),
        ("ControllerResizeInfeasible", None),
        (None, None),
    ],
)
def test_a_controller_that_tells_its_steps(step: str | None, wanted: int | None) -> None:
    """It says how large, and when the node is next; what the volume has by then may be more."""
    status: dict[str, Any] = {"capacity": {"storage": "1Gi"}, "allocatedResources": {"storage": "3Gi"}}
    if step is not None:
        status["allocatedResourceStatuses"] = {"storage": step}
    assert _wanted("4Gi", status) == wanted


def test_a_claim_without_a_status() -> None:
    """Nothing is known of it yet."""
    bound = msgspec.convert({"spec": {"capacity": {"storage": "2Gi"}}}, PersistentVolume)
    assert wanted_bytes(PersistentVolumeClaim(), bound) is None


def _wanted(capacity: str | None, status: dict[str, Any]) -> int | None:
    bound = {"spec": {"capacity": {"storage": capacity}} if capacity is not None else {}}
    return wanted_bytes(
        msgspec.convert({"status": status}, PersistentVolumeClaim), msgspec.convert(bound, PersistentVolume)
    )
