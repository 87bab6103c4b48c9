"""The GroupController service: snapshots of several volumes at one moment."""

from pathlib import Path

import pytest

from csi import errors
from csi.testing.levels import must, should
from csi.testing.subject import Subject
from csi.values import ControllerCapability, GroupControllerCapability, PluginCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

UNKNOWN = "csitest-no-such-group"
_GROUPS = GroupControllerCapability.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT
_NEEDED = (ControllerCapability.CREATE_DELETE_VOLUME, _GROUPS)


@must("GroupControllerGetCapabilities")
async def test_g1_capabilities_of_groups(driver: Subject) -> None:
    """No entry without a type; one of a later specification is none of ours."""
    driver.needs(PluginCapability.GROUP_CONTROLLER_SERVICE)
    if driver.implementation.node_only:
        pytest.skip("not asked for: --csi-node-only")
    request = csi.GroupControllerGetCapabilitiesRequest()
    answer = await driver.group_controller.get_capabilities(request)
    assert all(entry.rpc.type for entry in answer.capabilities)


@must("CreateVolumeGroupSnapshot")
@pytest.mark.parametrize("field", ["name", "source_volume_ids"])
async def test_g2_a_group_of_too_little(driver: Subject, field: str) -> None:
    """INVALID_ARGUMENT."""
    driver.needs(*_NEEDED)
    volume = await driver.volume()
    request = csi.CreateVolumeGroupSnapshotRequest(name=driver.name(), source_volume_ids=[volume.volume_id])
    request.ClearField(field)
    with driver.refused("INVALID_ARGUMENT"):
        await driver.group_controller.create_snapshot(request)


@must("CreateVolumeGroupSnapshot")
async def test_g3_taking_a_group_is_idempotent(driver: Subject) -> None:
    """The same group comes again; of other volumes under its name: ALREADY_EXISTS."""
    driver.needs(*_NEEDED)
    one, other, name = await driver.volume(), await driver.volume(), driver.name()
    first, second = await driver.group(one, other, name=name), await driver.group(one, other, name=name)
    assert first.group_snapshot_id == second.group_snapshot_id
    assert _members(first) == _members(second)
    with driver.refused("ALREADY_EXISTS"):
        await driver.group(one, name=name)


@must("CreateVolumeGroupSnapshot")
async def test_g5_a_group_has_one_of_each(driver: Subject) -> None:
    """One snapshot a volume, each of which names the group, and what was there is there again in a volume made of one."""
    driver.needs(*_NEEDED)
    volumes = [await driver.volume(), await driver.volume()]
    for volume in volumes:
        target = await driver.publish(volume)
        (target / "file").write_text(volume.volume_id)
        await driver.take_down(volume)
    group = await driver.group(*volumes)
    assert group.group_snapshot_id
    assert group.HasField("creation_time")
    assert sorted(each.source_volume_id for each in group.snapshots) == sorted(each.volume_id for each in volumes)
    assert {each.group_snapshot_id for each in group.snapshots} == {group.group_snapshot_id}
    if driver.can(ControllerCapability.CREATE_DELETE_SNAPSHOT) and group.ready_to_use:
        member = group.snapshots[0]
        request = driver.create_request()
        request.volume_content_source.snapshot.snapshot_id = member.snapshot_id
        restored: Path = await driver.publish(await driver.create(request))
        assert (restored / "file").read_text() == member.source_volume_id


@must("CreateVolumeGroupSnapshot")
async def test_g4_volumes_that_are_in_use(driver: Subject) -> None:
    """A whole group of two published volumes; or FAILED_PRECONDITION, and no snapshot of either is there."""
    driver.needs(*_NEEDED)
    volumes = [await driver.volume(), await driver.volume()]
    for volume in volumes:
        await driver.publish(volume)
    try:
        group = await driver.group(*volumes)
    except errors.CSIError as error:
        assert error.code == "FAILED_PRECONDITION"
        if driver.can(ControllerCapability.LIST_SNAPSHOTS):
            for volume in volumes:
                request = csi.ListSnapshotsRequest(source_volume_id=volume.volume_id)
                assert list((await driver.controller.list_snapshots(request)).entries) == []
    else:
        assert sorted(each.source_volume_id for each in group.snapshots) == sorted(each.volume_id for each in volumes)


@must("DeleteVolumeGroupSnapshot")
async def test_g6_deleting_groups(driver: Subject) -> None:
    """No id, or members that are not its own: INVALID_ARGUMENT. What is not there, or not any more: OK."""
    driver.needs(*_NEEDED)
    group, delete = await driver.group(await driver.volume()), driver.group_controller.delete_snapshot
    request = csi.DeleteVolumeGroupSnapshotRequest
    with driver.refused("INVALID_ARGUMENT"):
        await delete(request())
    with driver.refused("INVALID_ARGUMENT"):
        await delete(request(group_snapshot_id=group.group_snapshot_id, snapshot_ids=["csitest-no-such-snapshot"]))
    await delete(request(group_snapshot_id=UNKNOWN))
    for _ in range(2):
        await delete(request(group_snapshot_id=group.group_snapshot_id, snapshot_ids=_members(group)))


@must("GetVolumeGroupSnapshot")
async def test_g7_one_group(driver: Subject) -> None:
    """By its id; none, or members that are not its own: INVALID_ARGUMENT; one that is not there: NOT_FOUND."""
    driver.needs(*_NEEDED)
    group, get = await driver.group(await driver.volume()), driver.group_controller.get_snapshot
    request = csi.GetVolumeGroupSnapshotRequest
    answer = await get(request(group_snapshot_id=group.group_snapshot_id, snapshot_ids=_members(group)))
    assert answer.group_snapshot.group_snapshot_id == group.group_snapshot_id
    assert _members(answer.group_snapshot) == _members(group)
    with driver.refused("INVALID_ARGUMENT"):
        await get(request())
    with driver.refused("INVALID_ARGUMENT"):
        await get(request(group_snapshot_id=group.group_snapshot_id, snapshot_ids=["csitest-no-such-snapshot"]))
    with driver.refused("NOT_FOUND"):
        await get(request(group_snapshot_id=UNKNOWN))


@should("DeleteSnapshot")
async def test_s10_a_member_goes_with_its_group(driver: Subject) -> None:
    """INVALID_ARGUMENT, or OK where members may go one by one; a member that was not deleted is still one."""
    driver.needs(*_NEEDED, ControllerCapability.CREATE_DELETE_SNAPSHOT)
    group = await driver.group(await driver.volume(), await driver.volume())
    try:
        await driver.controller.delete_snapshot(csi.DeleteSnapshotRequest(snapshot_id=group.snapshots[0].snapshot_id))
    except errors.CSIError as error:
        assert error.code == "INVALID_ARGUMENT"
        request = csi.GetVolumeGroupSnapshotRequest(group_snapshot_id=group.group_snapshot_id)
        assert _members((await driver.group_controller.get_snapshot(request)).group_snapshot) == _members(group)


def _members(group: csi.VolumeGroupSnapshot) -> list[str]:
    return sorted(each.snapshot_id for each in group.snapshots)
