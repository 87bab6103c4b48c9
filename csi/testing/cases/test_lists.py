"""ListVolumes, ControllerGetVolume, GetCapacity."""

import contextlib

import pytest

from csi import errors
from csi.testing.levels import must, should
from csi.testing.subject import Subject
from csi.values import ControllerCapability, PluginCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

_CREATE, _LIST = ControllerCapability.CREATE_DELETE_VOLUME, ControllerCapability.LIST_VOLUMES


@must("ListVolumes")
async def test_c38_all_volumes_are_listed(driver: Subject) -> None:
    """What was made is there, what was deleted is not (C39); each has an id."""
    driver.needs(_CREATE, _LIST)
    kept, deleted = await driver.volume(), await driver.volume()
    await driver.delete(deleted)
    listed = [entry.volume.volume_id async for entry in driver.controller.volumes()]
    assert "" not in listed
    assert kept.volume_id in listed
    assert deleted.volume_id not in listed


@must("ListVolumes")
async def test_c40_pages_of_volumes(driver: Subject) -> None:
    """Two at a time: no page has more, and together they are all, each once."""
    driver.needs(_CREATE, _LIST)
    made = {(await driver.volume()).volume_id for _ in range(3)}
    listed: list[str] = []
    token = ""
    while True:
        answer = await driver.controller.list_volumes(csi.ListVolumesRequest(max_entries=2, starting_token=token))
        assert len(answer.entries) <= 2
        listed += [entry.volume.volume_id for entry in answer.entries]
        assert len(listed) == len(set(listed)), "a volume is on two pages"
        if not (token := answer.next_token):
            break
    assert made <= set(listed)


@should("ListVolumes")
async def test_c41_a_page_that_is_none(driver: Subject) -> None:
    """A token that the driver never gave: ABORTED. Less than no entries: INVALID_ARGUMENT."""
    driver.needs(_LIST)
    with driver.refused("ABORTED"):
        await driver.controller.list_volumes(csi.ListVolumesRequest(starting_token="csitest-no-token"))
    with driver.refused("INVALID_ARGUMENT"):
        await driver.controller.list_volumes(csi.ListVolumesRequest(max_entries=-1))


@must("ListVolumes")
async def test_c42_where_volumes_are_attached(driver: Subject) -> None:
    """The node's id is listed while a volume is attached to it."""
    driver.needs(_CREATE, _LIST, ControllerCapability.LIST_VOLUMES_PUBLISHED_NODES)
    volume = await driver.volume()

    async def nodes() -> list[str]:
        entries = [each async for each in driver.controller.volumes() if each.volume.volume_id == volume.volume_id]
        return list(entries[0].status.published_node_ids)

    await driver.attach(volume)
    assert await nodes() == [driver.info.node_id]
    await driver.detach(volume)
    assert await nodes() == []


@must("ControllerGetVolume")
async def test_c43_one_volume(driver: Subject) -> None:
    """By its id; none: INVALID_ARGUMENT; one that is not there: NOT_FOUND."""
    driver.needs(_CREATE, ControllerCapability.GET_VOLUME)
    volume, get = await driver.volume(), driver.controller.get_volume
    answer = await get(csi.ControllerGetVolumeRequest(volume_id=volume.volume_id))
    assert answer.volume.volume_id == volume.volume_id
    with driver.refused("INVALID_ARGUMENT"):
        await get(csi.ControllerGetVolumeRequest())
    with driver.refused("NOT_FOUND"):
        await get(csi.ControllerGetVolumeRequest(volume_id="csitest-no-such-volume"))


@must("GetCapacity")
async def test_c44_capacity(driver: Subject) -> None:
    """Never less than nothing, whatever is asked."""
    driver.needs(ControllerCapability.GET_CAPACITY)
    requests = [
        csi.GetCapacityRequest(),
        csi.GetCapacityRequest(parameters=driver.implementation.parameters, volume_capabilities=[driver.capability()]),
    ]
    if driver.info.topology and driver.can(PluginCapability.VOLUME_ACCESSIBILITY_CONSTRAINTS):
        requests.append(csi.GetCapacityRequest(accessible_topology=csi.Topology(segments=driver.info.topology)))
    for request in requests:
        answer = await driver.controller.get_capacity(request)
        assert answer.available_capacity >= 0
        assert answer.maximum_volume_size.value >= 0
        assert answer.minimum_volume_size.value >= 0


@should("GetCapacity")
async def test_c44b_capacity_of_a_place_that_is_not_there(driver: Subject) -> None:
    """None, or a refusal: what is asked for a topology is of that topology."""
    driver.needs(ControllerCapability.GET_CAPACITY, PluginCapability.VOLUME_ACCESSIBILITY_CONSTRAINTS)
    if not driver.info.topology:
        pytest.skip("the node says no topology")
    nowhere = csi.Topology(segments=dict.fromkeys(driver.info.topology, "csitest-nowhere"))
    with contextlib.suppress(errors.Final):
        answer = await driver.controller.get_capacity(csi.GetCapacityRequest(accessible_topology=nowhere))
        assert answer.available_capacity == 0
