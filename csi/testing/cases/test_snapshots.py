"""CreateSnapshot, DeleteSnapshot, ListSnapshots, GetSnapshot, and volumes that are made of snapshots."""

from pathlib import Path

import pytest

from csi import errors
from csi.testing.levels import must, should
from csi.testing.readiness import until_ready
from csi.testing.subject import Subject
from csi.testing.volume import VolumeUnderTest
from csi.values import ControllerCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

UNKNOWN = "csitest-no-such-snapshot"
_NEEDED = (ControllerCapability.CREATE_DELETE_VOLUME, ControllerCapability.CREATE_DELETE_SNAPSHOT)


@must("CreateSnapshot")
@pytest.mark.parametrize("field", ["name", "source_volume_id"])
async def test_s1_a_snapshot_of_too_little(driver: Subject, field: str) -> None:
    """INVALID_ARGUMENT."""
    driver.needs(*_NEEDED)
    request = csi.CreateSnapshotRequest(name=driver.name(), source_volume_id=(await driver.volume()).volume_id)
    request.ClearField(field)
    with driver.refused("INVALID_ARGUMENT"):
        await driver.controller.create_snapshot(request)


@should("CreateSnapshot")
async def test_s2_a_snapshot_of_what_is_not_there(driver: Subject) -> None:
    """NOT_FOUND."""
    driver.needs(*_NEEDED)
    with driver.refused("NOT_FOUND"):
        await driver.controller.create_snapshot(
            csi.CreateSnapshotRequest(name=driver.name(), source_volume_id="csitest-no-such-volume")
        )


@must("CreateSnapshot")
async def test_s3_taking_is_idempotent(driver: Subject) -> None:
    """The same snapshot comes again, with its source and time (S6)."""
    driver.needs(*_NEEDED)
    volume, name = await driver.volume(), driver.name()
    first, second = await driver.snapshot(volume, name), await driver.snapshot(volume, name)
    assert first.snapshot_id == second.snapshot_id
    assert first.source_volume_id == volume.volume_id
    assert first.HasField("creation_time")
    assert first.creation_time == second.creation_time


@must("CreateSnapshot")
async def test_s4_a_snapshots_name_that_is_taken(driver: Subject) -> None:
    """By a snapshot of another volume: ALREADY_EXISTS."""
    driver.needs(*_NEEDED)
    name = driver.name()
    await driver.snapshot(await driver.volume(), name)
    with driver.refused("ALREADY_EXISTS"):
        await driver.snapshot(await driver.volume(), name)


@must("CreateSnapshot")
async def test_s5_a_long_name_of_a_snapshot(driver: Subject) -> None:
    """128 characters."""
    driver.needs(*_NEEDED)
    await driver.snapshot(await driver.volume(), (driver.name() + "x" * 128)[:128])


@must("DeleteSnapshot")
async def test_s8_deleting_snapshots(driver: Subject) -> None:
    """No id: INVALID_ARGUMENT. What is not there, or not any more: OK."""
    driver.needs(*_NEEDED)
    delete = driver.controller.delete_snapshot
    snapshot = await driver.snapshot(await driver.volume())
    with driver.refused("INVALID_ARGUMENT"):
        await delete(csi.DeleteSnapshotRequest())
    await delete(csi.DeleteSnapshotRequest(snapshot_id=UNKNOWN))
    for _ in range(2):
        await delete(csi.DeleteSnapshotRequest(snapshot_id=snapshot.snapshot_id))


@must("ListSnapshots")
async def test_s11_lists_of_snapshots(driver: Subject) -> None:
    """By id: that one. By volume: all and only those of it. By what is not there: OK, and none (S12)."""
    driver.needs(*_NEEDED, ControllerCapability.LIST_SNAPSHOTS)
    one, other = await driver.volume(), await driver.volume()
    first, second = await driver.snapshot(one), await driver.snapshot(one)
    await driver.snapshot(other)
    by = csi.ListSnapshotsRequest
    assert await _listed(driver, by(snapshot_id=first.snapshot_id)) == [first.snapshot_id]
    assert sorted(await _listed(driver, by(source_volume_id=one.volume_id))) == sorted(
        [first.snapshot_id, second.snapshot_id]
    )
    assert await _listed(driver, by(snapshot_id=UNKNOWN)) == []
    assert await _listed(driver, by(source_volume_id="csitest-no-such-volume")) == []


@must("ListSnapshots")
async def test_s11b_all_snapshots_are_listed(driver: Subject) -> None:
    """Asked for without a filter: what was taken is there, with its volume and time; what was deleted is not."""
    driver.needs(*_NEEDED, ControllerCapability.LIST_SNAPSHOTS)
    volume = await driver.volume()
    kept, deleted = await driver.snapshot(volume), await driver.snapshot(volume)
    await driver.controller.delete_snapshot(csi.DeleteSnapshotRequest(snapshot_id=deleted.snapshot_id))
    request, found = csi.ListSnapshotsRequest(), dict[str, csi.Snapshot]()
    while True:
        answer = await driver.controller.list_snapshots(request)
        found |= {entry.snapshot.snapshot_id: entry.snapshot for entry in answer.entries}
        if not answer.next_token or request.starting_token == answer.next_token:
            break
        request.starting_token = answer.next_token
    assert found[kept.snapshot_id].source_volume_id == volume.volume_id
    assert all(each.HasField("creation_time") for each in found.values())
    assert deleted.snapshot_id not in found


@must("ListSnapshots")
async def test_s13_pages_of_snapshots(driver: Subject) -> None:
    """Two at a time: no page has more, together they are all, each once."""
    driver.needs(*_NEEDED, ControllerCapability.LIST_SNAPSHOTS)
    volume = await driver.volume()
    made = {(await driver.snapshot(volume)).snapshot_id for _ in range(3)}
    listed: list[str] = []
    request = csi.ListSnapshotsRequest(max_entries=2, source_volume_id=volume.volume_id)
    while True:
        answer = await driver.controller.list_snapshots(request)
        assert len(answer.entries) <= 2
        listed += [entry.snapshot.snapshot_id for entry in answer.entries]
        assert len(listed) <= len(made), "a snapshot is on two pages, or is of another volume"
        if not answer.next_token:
            break
        request.starting_token = answer.next_token
    assert sorted(listed) == sorted(made)


@must("ListSnapshots")
async def test_s14_a_page_of_snapshots_that_is_none(driver: Subject) -> None:
    """ABORTED."""
    driver.needs(ControllerCapability.LIST_SNAPSHOTS)
    with driver.refused("ABORTED"):
        await driver.controller.list_snapshots(csi.ListSnapshotsRequest(starting_token="csitest-no-token"))


@must("GetSnapshot")
async def test_s15_one_snapshot(driver: Subject) -> None:
    """By its id; none: INVALID_ARGUMENT; one that is not there: NOT_FOUND."""
    driver.needs(*_NEEDED, ControllerCapability.GET_SNAPSHOT)
    snapshot, get = await driver.snapshot(await driver.volume()), driver.controller.get_snapshot
    answer = await get(csi.GetSnapshotRequest(snapshot_id=snapshot.snapshot_id))
    assert answer.snapshot.snapshot_id == snapshot.snapshot_id
    with driver.refused("INVALID_ARGUMENT"):
        await get(csi.GetSnapshotRequest())
    with driver.refused("NOT_FOUND"):
        await get(csi.GetSnapshotRequest(snapshot_id=UNKNOWN))


@must("CreateVolume")
async def test_s16_what_was_there_is_there_again(driver: Subject) -> None:
    """A volume of a snapshot (I13, C14) has what was there when it was taken; writes to one are not in the other (X14)."""
    driver.needs(*_NEEDED)
    source = await driver.volume()
    target = await driver.publish(source)
    _write(target, "before")
    await driver.unpublish(source, target)
    snapshot = await driver.snapshot(source)
    await until_ready(driver, snapshot)
    target = await driver.publish(source)
    _write(target, "after")
    restored = await _of_snapshot(driver, snapshot)
    there = await driver.publish(restored)
    assert _read(there) == "before"
    _write(there, "restored")
    assert _read(target) == "after"


@must("DeleteVolume")
async def test_c24_a_snapshot_outlives_its_volume(driver: Subject) -> None:
    """The volume is deleted, or refuses (FAILED_PRECONDITION) and is whole (C25); then the snapshot is still good."""
    driver.needs(*_NEEDED)
    source = await driver.volume()
    target = await driver.publish(source)
    _write(target, "precious")
    await driver.take_down(source)
    snapshot = await driver.snapshot(source)
    await until_ready(driver, snapshot)
    try:
        await driver.delete(source)
    except errors.CSIError as error:
        assert error.code == "FAILED_PRECONDITION"
        assert _read(await driver.publish(source)) == "precious"
    assert _read(await driver.publish(await _of_snapshot(driver, snapshot))) == "precious"


@must("DeleteSnapshot")
async def test_s9_a_snapshot_that_a_volume_was_made_of(driver: Subject) -> None:
    """It is deleted, or refuses (FAILED_PRECONDITION) and can be used as before; the volume has its data all the same."""
    driver.needs(*_NEEDED)
    source = await driver.volume()
    target = await driver.publish(source)
    _write(target, "precious")
    await driver.take_down(source)
    snapshot = await driver.snapshot(source)
    await until_ready(driver, snapshot)
    restored = await _of_snapshot(driver, snapshot)
    try:
        await driver.controller.delete_snapshot(csi.DeleteSnapshotRequest(snapshot_id=snapshot.snapshot_id))
    except errors.CSIError as error:
        assert error.code == "FAILED_PRECONDITION"
        assert _read(await driver.publish(await _of_snapshot(driver, snapshot))) == "precious"
    assert _read(await driver.publish(restored)) == "precious"


@must("CreateVolume")
async def test_c15_a_volume_smaller_than_its_snapshot(driver: Subject) -> None:
    """OUT_OF_RANGE; a source that is not there is NOT_FOUND (C14)."""
    driver.needs(*_NEEDED)
    snapshot = await driver.snapshot(await driver.volume())
    await until_ready(driver, snapshot)
    request = driver.create_request()
    request.volume_content_source.snapshot.snapshot_id = snapshot.snapshot_id
    half = max(1, driver.implementation.volume_bytes // 2)
    request.capacity_range.CopyFrom(csi.CapacityRange(required_bytes=half, limit_bytes=half))
    with driver.refused("OUT_OF_RANGE"):
        await driver.create(request)
    request = driver.create_request()
    request.volume_content_source.snapshot.snapshot_id = UNKNOWN
    with driver.refused("NOT_FOUND"):
        await driver.create(request)


async def _of_snapshot(driver: Subject, snapshot: csi.Snapshot) -> VolumeUnderTest:
    request = driver.create_request()
    request.volume_content_source.snapshot.snapshot_id = snapshot.snapshot_id
    return await driver.create(request)


async def _listed(driver: Subject, request: csi.ListSnapshotsRequest) -> list[str]:
    """On however many pages they come."""
    listed: list[str] = []
    while True:
        answer = await driver.controller.list_snapshots(request)
        listed += [entry.snapshot.snapshot_id for entry in answer.entries]
        if not answer.next_token:
            return listed
        assert answer.next_token != request.starting_token, "a page leads to itself"
        request.starting_token = answer.next_token


def _write(target: Path, text: str) -> None:
    (target / "file").write_text(text)


def _read(target: Path) -> str:
    return (target / "file").read_text()
