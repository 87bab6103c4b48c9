"""ControllerPublishVolume and ControllerUnpublishVolume."""

import pytest

from csi import errors
from csi.testing.levels import must, should
from csi.testing.subject import Subject
from csi.values import ControllerCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

_NEEDED = (ControllerCapability.CREATE_DELETE_VOLUME, ControllerCapability.PUBLISH_UNPUBLISH_VOLUME)
_MOST_VOLUMES = 32


@must("ControllerPublishVolume")
@pytest.mark.parametrize("field", ["volume_id", "node_id", "volume_capability"])
async def test_c29_attaching_too_little(driver: Subject, field: str) -> None:
    """INVALID_ARGUMENT."""
    driver.needs(*_NEEDED)
    request = driver.attach_request(await driver.volume())
    request.ClearField(field)
    with driver.refused("INVALID_ARGUMENT"):
        await driver.controller.publish_volume(request)


@must("ControllerPublishVolume")
@pytest.mark.parametrize("field", ["volume_id", "node_id"])
async def test_c30_attaching_what_is_not_there(driver: Subject, field: str) -> None:
    """A volume, or a node: NOT_FOUND."""
    driver.needs(*_NEEDED)
    request = driver.attach_request(await driver.volume())
    setattr(request, field, "csitest-no-such-thing")
    with driver.refused("NOT_FOUND"):
        await driver.controller.publish_volume(request)


@must("ControllerPublishVolume")
async def test_c31_attaching_is_idempotent(driver: Subject) -> None:
    """The same context comes again."""
    driver.needs(*_NEEDED)
    volume = await driver.volume()
    await driver.attach(volume)
    answer = await driver.controller.publish_volume(driver.attach_request(volume))
    assert dict(answer.publish_context) == volume.publish_context


@must("ControllerPublishVolume")
async def test_c32_attached_in_another_way(driver: Subject) -> None:
    """With another readonly: ALREADY_EXISTS."""
    driver.needs(*_NEEDED, ControllerCapability.PUBLISH_READONLY)
    volume = await driver.volume()
    await driver.attach(volume)
    with driver.refused("ALREADY_EXISTS"):
        await driver.controller.publish_volume(driver.attach_request(volume, readonly=True))


@must("ControllerPublishVolume")
async def test_c33_on_one_node_alone(driver: Subject) -> None:
    """What is attached for a single node goes to no second one: FAILED_PRECONDITION, and it stays where it is."""
    driver.needs(*_NEEDED)
    if not driver.implementation.second_node_id:
        pytest.skip("no second node: name one that the controller knows (--csi-second-node-id)")
    volume = await driver.volume()
    await driver.attach(volume)
    request = driver.attach_request(volume)
    request.node_id = driver.implementation.second_node_id
    with driver.refused("FAILED_PRECONDITION"):
        await driver.controller.publish_volume(request)
    answer = await driver.controller.publish_volume(driver.attach_request(volume))
    assert dict(answer.publish_context) == volume.publish_context


@must("ControllerPublishVolume")
async def test_c34_a_full_node(driver: Subject) -> None:
    """It takes max_volumes_per_node, of which others may hold some; one more is RESOURCE_EXHAUSTED, until one has gone."""
    driver.needs(*_NEEDED)
    limit = driver.info.max_volumes
    if not 0 < limit <= _MOST_VOLUMES:
        pytest.skip(f"max_volumes_per_node is {limit}: at most {_MOST_VOLUMES} are made for this case")
    for attached in range(limit + 1):
        volume = await driver.volume()
        try:
            await driver.attach(volume)
        except errors.CSIError as error:
            assert error.code == "RESOURCE_EXHAUSTED"
            if attached == 0:
                pytest.skip("the node was full before")
            break
    else:
        pytest.fail(f"the node takes more than max_volumes_per_node, which is {limit}")
    await driver.detach(driver.volumes[0])
    await driver.attach(volume)


@must("ControllerUnpublishVolume")
async def test_c35_detaching_is_idempotent(driver: Subject) -> None:
    """No id: INVALID_ARGUMENT. What is not attached, or not any more: OK."""
    driver.needs(*_NEEDED)
    volume = await driver.volume()
    detach = csi.ControllerUnpublishVolumeRequest(volume_id=volume.volume_id, node_id=driver.info.node_id)
    with driver.refused("INVALID_ARGUMENT"):
        await driver.controller.unpublish_volume(csi.ControllerUnpublishVolumeRequest(node_id=driver.info.node_id))
    await driver.controller.unpublish_volume(detach)
    await driver.attach(volume)
    await driver.detach(volume)
    await driver.controller.unpublish_volume(detach)


@must("ControllerUnpublishVolume")
async def test_c36_detaching_what_is_gone(driver: Subject) -> None:
    """A volume that is not there: OK, or NOT_FOUND where the driver cannot know that it is detached."""
    driver.needs(*_NEEDED)
    request = csi.ControllerUnpublishVolumeRequest(volume_id="csitest-no-such-volume", node_id=driver.info.node_id)
    try:
        await driver.controller.unpublish_volume(request)
    except errors.CSIError as error:
        assert error.code == "NOT_FOUND"


@should("ControllerUnpublishVolume")
async def test_c37_detaching_from_all_nodes(driver: Subject) -> None:
    """Without a node: from wherever it is attached, so that it can be attached in another way."""
    driver.needs(*_NEEDED, ControllerCapability.PUBLISH_READONLY)
    volume = await driver.volume()
    await driver.attach(volume)
    await driver.controller.unpublish_volume(csi.ControllerUnpublishVolumeRequest(volume_id=volume.volume_id))
    volume.attached = False
    await driver.attach(volume, readonly=True)
