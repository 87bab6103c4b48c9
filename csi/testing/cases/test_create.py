"""CreateVolume and DeleteVolume, ValidateVolumeCapabilities."""

import asyncio
from collections.abc import Callable

import pytest

from csi import errors
from csi.testing.levels import must, should
from csi.testing.subject import Subject
from csi.testing.volume import VolumeUnderTest
from csi.values import AccessMode, ControllerCapability, PluginCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

UNKNOWN = "csitest-no-such-volume"
_CREATE = ControllerCapability.CREATE_DELETE_VOLUME
_CONTROL = ("\x00", "\x08", "\x1f", "\x7f", "\x9f")


def _no_access_type(request: csi.CreateVolumeRequest) -> None:
    request.volume_capabilities[0].ClearField("mount")


def _no_mode(request: csi.CreateVolumeRequest) -> None:
    request.volume_capabilities[0].ClearField("access_mode")


def _validation(volume: VolumeUnderTest) -> csi.ValidateVolumeCapabilitiesRequest:
    return csi.ValidateVolumeCapabilitiesRequest(volume_id=volume.volume_id, volume_capabilities=[volume.capability])


@must("CreateVolume")
async def test_c1_no_name(driver: Subject) -> None:
    """INVALID_ARGUMENT."""
    driver.needs(_CREATE)
    request = driver.create_request()
    request.name = ""
    with driver.refused("INVALID_ARGUMENT"):
        await driver.create(request)


@must("CreateVolume")
async def test_c2_no_capabilities(driver: Subject) -> None:
    """INVALID_ARGUMENT."""
    driver.needs(_CREATE)
    request = driver.create_request()
    request.ClearField("volume_capabilities")
    with driver.refused("INVALID_ARGUMENT"):
        await driver.controller.create_volume(request)


@must("CreateVolume")
@pytest.mark.parametrize("broken", [_no_access_type, _no_mode])
async def test_c3_a_capability_that_says_too_little(
    driver: Subject, broken: Callable[[csi.CreateVolumeRequest], None]
) -> None:
    """Neither block nor mount, or access mode UNKNOWN: INVALID_ARGUMENT."""
    driver.needs(_CREATE)
    request = driver.create_request()
    broken(request)
    with driver.refused("INVALID_ARGUMENT"):
        await driver.create(request)


@must("CreateVolume")
async def test_c4_a_volume_of_any_size(driver: Subject) -> None:
    """Without a size the driver takes its own; the id has at most 128 bytes."""
    driver.needs(_CREATE)
    request = driver.create_request()
    request.ClearField("capacity_range")
    volume = await driver.create(request)
    assert len(volume.volume_id.encode()) <= 128


@must("CreateVolume")
async def test_c5_a_volume_of_a_size(driver: Subject) -> None:
    """capacity_bytes is what was required, or more; 0 says that it is not known."""
    driver.needs(_CREATE)
    volume = await driver.volume()
    assert volume.capacity_bytes == 0 or volume.capacity_bytes >= driver.implementation.volume_bytes


@must("CreateVolume")
async def test_c5b_a_volume_within_a_limit(driver: Subject) -> None:
    """No larger than limit_bytes, which is a little more than what is required; or OUT_OF_RANGE, where sizes are coarser."""
    driver.needs(_CREATE)
    size = driver.implementation.volume_bytes
    request = driver.create_request()
    request.capacity_range.limit_bytes = size + driver.implementation.expand_bytes
    try:
        volume = await driver.create(request)
    except errors.CSIError as error:
        assert error.code == "OUT_OF_RANGE"
    else:
        assert volume.capacity_bytes == 0 or size <= volume.capacity_bytes <= request.capacity_range.limit_bytes


@must("CreateVolume")
async def test_c6_a_limit_that_nothing_fits_in(driver: Subject) -> None:
    """A volume of at most one byte: OUT_OF_RANGE; a driver may have volumes of one byte."""
    driver.needs(_CREATE)
    request = driver.create_request()
    request.capacity_range.CopyFrom(csi.CapacityRange(limit_bytes=1))
    try:
        volume = await driver.create(request)
    except errors.CSIError as error:
        assert error.code == "OUT_OF_RANGE"
    else:
        assert volume.capacity_bytes <= 1


@must("CreateVolume")
@pytest.mark.parametrize(("required", "limit"), [(2, 1), (-1, 0)])
async def test_c7_a_size_that_is_none(driver: Subject, required: int, limit: int) -> None:
    """More required than allowed, or less than nothing."""
    driver.needs(_CREATE)
    request, unit = driver.create_request(), driver.implementation.volume_bytes
    request.capacity_range.CopyFrom(csi.CapacityRange(required_bytes=required * unit, limit_bytes=limit * unit))
    with driver.refused("INVALID_ARGUMENT", "OUT_OF_RANGE"):
        await driver.create(request)


@must("CreateVolume")
async def test_c8_creating_is_idempotent(driver: Subject) -> None:
    """The same request gives the same volume."""
    driver.needs(_CREATE)
    request = driver.create_request()
    first, second = await driver.create(request), await driver.create(request)
    assert first == second


@must("CreateVolume")
async def test_c9_a_name_that_is_taken(driver: Subject) -> None:
    """The same name with a size that the volume does not have: ALREADY_EXISTS, and the volume is as it was."""
    driver.needs(_CREATE)
    request, size = driver.create_request(), driver.implementation.volume_bytes
    request.capacity_range.limit_bytes = size + driver.implementation.expand_bytes
    first = await driver.create(request)
    other = csi.CreateVolumeRequest()
    other.CopyFrom(request)
    other.capacity_range.CopyFrom(
        csi.CapacityRange(required_bytes=2 * size + 2 * driver.implementation.expand_bytes, limit_bytes=0)
    )
    with driver.refused("ALREADY_EXISTS"):
        await driver.create(other)
    assert await driver.create(request) == first


@must("CreateVolume")
async def test_c10_a_name_that_is_taken_by_an_empty_volume(driver: Subject) -> None:
    """A copy of another under the same name: ALREADY_EXISTS."""
    driver.needs(_CREATE, ControllerCapability.CLONE_VOLUME)
    source, request = await driver.volume(), driver.create_request()
    await driver.create(request)
    request.volume_content_source.volume.volume_id = source.volume_id
    with driver.refused("ALREADY_EXISTS"):
        await driver.create(request)


@must("CreateVolume")
async def test_c10b_a_name_that_is_taken_by_a_file_system(driver: Subject) -> None:
    """The same name as a block device: ALREADY_EXISTS (INVALID_ARGUMENT where there are none), and the volume is as it was."""
    driver.needs(_CREATE)
    request = driver.create_request()
    first = await driver.create(request)
    other = csi.CreateVolumeRequest()
    other.CopyFrom(request)
    other.volume_capabilities[0].CopyFrom(driver.capability(block=True))
    with driver.refused("ALREADY_EXISTS", "INVALID_ARGUMENT"):
        await driver.create(other)
    assert await driver.create(request) == first


@must("CreateVolume")
async def test_c16_a_source_that_is_not_taken(driver: Subject) -> None:
    """A driver that copies nothing says so rather than make an empty volume: INVALID_ARGUMENT."""
    driver.needs(_CREATE)
    if driver.claims & {ControllerCapability.CLONE_VOLUME, ControllerCapability.CREATE_DELETE_SNAPSHOT}:
        pytest.skip("sources are taken")
    source, request = await driver.volume(), driver.create_request()
    request.volume_content_source.volume.volume_id = source.volume_id
    with driver.refused("INVALID_ARGUMENT"):
        await driver.create(request)


@must("CreateVolume")
async def test_c11_a_long_name(driver: Subject) -> None:
    """128 characters."""
    driver.needs(_CREATE)
    request = driver.create_request()
    request.name = (request.name + "x" * 128)[:128]
    await driver.create(request)


@should("CreateVolume")
@pytest.mark.parametrize("char", _CONTROL, ids=ascii)
async def test_c12_a_name_with_control_characters(driver: Subject, char: str) -> None:
    """INVALID_ARGUMENT."""
    driver.needs(_CREATE)
    request = driver.create_request()
    request.name = f"{request.name}{char}x"
    with driver.refused("INVALID_ARGUMENT"):
        await driver.create(request)


@must("CreateVolume")
async def test_c12b_a_name_of_any_letters(driver: Subject) -> None:
    """Other Unicode is accepted, and a name is no path."""
    driver.needs(_CREATE)
    request = driver.create_request()
    request.name = f"{request.name} ../ü/√☃"
    await driver.create(request)


@must("CreateVolume")
async def test_c13_a_clone(driver: Subject) -> None:
    """It says what it is a copy of, and is no smaller; a source that is not there is NOT_FOUND."""
    driver.needs(_CREATE, ControllerCapability.CLONE_VOLUME)
    source = await driver.volume()
    request = driver.create_request()
    request.volume_content_source.volume.volume_id = source.volume_id
    answer = (await driver.controller.create_volume(request)).volume
    await driver.create(request)  # the same again; now it is cleaned up
    assert answer.content_source.volume.volume_id == source.volume_id
    assert answer.capacity_bytes == 0 or answer.capacity_bytes >= source.capacity_bytes
    request = driver.create_request()
    request.volume_content_source.volume.volume_id = UNKNOWN
    with driver.refused("NOT_FOUND"):
        await driver.create(request)


@must("CreateVolume")
async def test_c13b_what_is_in_a_clone(driver: Subject) -> None:
    """What was in its source when it was made; what is written to the one later is not in the other (X14)."""
    driver.needs(_CREATE, ControllerCapability.CLONE_VOLUME)
    source, request = await driver.volume(), driver.create_request()
    target = await driver.publish(source)
    (target / "file").write_text("precious")
    await driver.take_down(source)
    request.volume_content_source.volume.volume_id = source.volume_id
    clone = await driver.publish(await driver.create(request))
    assert (clone / "file").read_text() == "precious"
    (clone / "file").write_text("another")
    assert (await driver.publish(source) / "file").read_text() == "precious"


@must("CreateVolume")
async def test_c17_a_place_that_cannot_be(driver: Subject) -> None:
    """A requisite topology that nobody has: RESOURCE_EXHAUSTED."""
    driver.needs(_CREATE, PluginCapability.VOLUME_ACCESSIBILITY_CONSTRAINTS)
    if not driver.info.topology:
        pytest.skip("the node says no topology")
    request = driver.create_request()
    for topology in (
        *request.accessibility_requirements.requisite,
        *request.accessibility_requirements.preferred,
    ):
        for key in topology.segments:
            topology.segments[key] = "csitest-nowhere"
    with driver.refused("RESOURCE_EXHAUSTED"):
        await driver.create(request)


@must("CreateVolume")
async def test_c18_a_volume_is_where_it_was_asked_for(driver: Subject) -> None:
    """accessible_topology agrees with the requisite one: that of this node."""
    driver.needs(_CREATE, PluginCapability.VOLUME_ACCESSIBILITY_CONSTRAINTS)
    if not driver.info.topology:
        pytest.skip("the node says no topology")
    request = driver.create_request()
    answer = (await driver.controller.create_volume(request)).volume
    await driver.create(request)
    places = [dict(each.segments) for each in answer.accessible_topology]
    assert not places or any(place.items() <= dict(driver.info.topology).items() for place in places)


@should("CreateVolume")
async def test_c20_two_at_once(driver: Subject) -> None:
    """The same request twice at the same time: one volume."""
    driver.needs(_CREATE)
    request = driver.create_request()
    first, second = await asyncio.gather(driver.create(request), driver.create(request))
    assert first.volume_id == second.volume_id


@must("DeleteVolume")
async def test_c21_deleting_what_is_not_there(driver: Subject) -> None:
    """No id: INVALID_ARGUMENT. An id that is none: OK."""
    driver.needs(_CREATE)
    with driver.refused("INVALID_ARGUMENT"):
        await driver.controller.delete_volume(csi.DeleteVolumeRequest())
    for identity in (UNKNOWN, "../../../etc", "-"):
        await driver.controller.delete_volume(csi.DeleteVolumeRequest(volume_id=identity))


@must("DeleteVolume")
async def test_c22_deleting_is_idempotent(driver: Subject) -> None:
    """Twice is fine, and it is gone."""
    driver.needs(_CREATE)
    volume = await driver.volume()
    await driver.delete(volume)
    await driver.delete(volume)
    with driver.refused("NOT_FOUND"):
        await driver.controller.validate_volume_capabilities(_validation(volume))


@must("DeleteVolume")
async def test_c23_deleting_what_is_in_use(driver: Subject) -> None:
    """FAILED_PRECONDITION, and the data is there; or OK from a driver that can delete volumes in use: then it is gone."""
    driver.needs(_CREATE)
    volume = await driver.volume()
    target = await driver.publish(volume)
    (target / "file").write_text("precious")
    try:
        await driver.controller.delete_volume(csi.DeleteVolumeRequest(volume_id=volume.volume_id))
    except errors.CSIError as error:
        assert error.code == "FAILED_PRECONDITION"
        assert (target / "file").read_text() == "precious"
    else:
        with driver.refused("NOT_FOUND"):
            await driver.controller.validate_volume_capabilities(_validation(volume))


@must("ValidateVolumeCapabilities")
async def test_c26_validating_too_little(driver: Subject) -> None:
    """No id, no capabilities: INVALID_ARGUMENT. An unknown id: NOT_FOUND."""
    driver.needs(_CREATE)
    volume, validate = await driver.volume(), driver.controller.validate_volume_capabilities
    with driver.refused("INVALID_ARGUMENT"):
        await validate(csi.ValidateVolumeCapabilitiesRequest(volume_capabilities=[volume.capability]))
    with driver.refused("INVALID_ARGUMENT"):
        await validate(csi.ValidateVolumeCapabilitiesRequest(volume_id=volume.volume_id))
    with driver.refused("NOT_FOUND"):
        await validate(
            csi.ValidateVolumeCapabilitiesRequest(volume_id=UNKNOWN, volume_capabilities=[volume.capability])
        )


@must("ValidateVolumeCapabilities")
async def test_c27_what_a_volume_was_made_with_is_confirmed(driver: Subject) -> None:
    """The capability is in the answer."""
    driver.needs(_CREATE)
    volume = await driver.volume()
    answer = await driver.controller.validate_volume_capabilities(
        csi.ValidateVolumeCapabilitiesRequest(
            volume_id=volume.volume_id, volume_capabilities=[volume.capability], volume_context=volume.context
        )
    )
    assert list(answer.confirmed.volume_capabilities) == [volume.capability]


@must("ValidateVolumeCapabilities")
async def test_c28_what_cannot_be_is_not_confirmed(driver: Subject) -> None:
    """Every access mode is answered OK, whether it is confirmed or not."""
    driver.needs(_CREATE)
    volume = await driver.volume()
    for mode in AccessMode:
        wanted = driver.capability(mode)
        answer = await driver.controller.validate_volume_capabilities(
            csi.ValidateVolumeCapabilitiesRequest(volume_id=volume.volume_id, volume_capabilities=[wanted])
        )
        if answer.HasField("confirmed"):
            assert list(answer.confirmed.volume_capabilities) == [wanted]
