"""A snapshot that may be used: drivers cut it at once, and may upload it for a while."""

import asyncio

import pytest

from csi.testing.subject import Subject
from csi.values import ControllerCapability
from proto import csi_pb2 as csi

_LOOK_SECONDS = 0.5


async def until_ready(driver: Subject, snapshot: csi.Snapshot) -> None:
    """Asked for again until it can be used, as an orchestrator does; out of patience, the case fails."""
    patience_seconds = driver.implementation.patience_seconds
    for _ in range(int(patience_seconds / _LOOK_SECONDS) + 1):
        if snapshot.ready_to_use or not driver.can(ControllerCapability.LIST_SNAPSHOTS):
            return
        await asyncio.sleep(_LOOK_SECONDS)
        answer = await driver.controller.list_snapshots(csi.ListSnapshotsRequest(snapshot_id=snapshot.snapshot_id))
        snapshot = answer.entries[0].snapshot
    pytest.fail(f"the snapshot is not ready_to_use after {patience_seconds:g} s")
