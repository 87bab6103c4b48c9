"""ControllerModifyVolume, and volumes that are made with mutable parameters."""

import pytest

from csi.testing.levels import must
from csi.testing.subject import Subject
from csi.values import ControllerCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

_NEEDED = (ControllerCapability.CREATE_DELETE_VOLUME, ControllerCapability.MODIFY_VOLUME)
WRONG = {"csitest-no-such-parameter": "x"}


def _own(driver: Subject) -> dict[str, str]:
    """Skips where none are named."""
    if not driver.implementation.mutable_parameters:
        pytest.skip("no parameters to modify: name some (--csi-mutable-parameters)")
    return dict(driver.implementation.mutable_parameters)


@must("ControllerModifyVolume")
async def test_c45_modifying_what_cannot_be(driver: Subject) -> None:
    """No id, or a parameter that is none: INVALID_ARGUMENT. A volume that is not there: NOT_FOUND."""
    driver.needs(*_NEEDED)
    volume, modify = await driver.volume(), driver.controller.modify_volume
    request = csi.ControllerModifyVolumeRequest
    with driver.refused("INVALID_ARGUMENT"):
        await modify(request(mutable_parameters=driver.implementation.mutable_parameters))
    with driver.refused("NOT_FOUND"):
        await modify(
            request(volume_id="csitest-no-such-volume", mutable_parameters=driver.implementation.mutable_parameters)
        )
    with driver.refused("INVALID_ARGUMENT"):
        await modify(request(volume_id=volume.volume_id, mutable_parameters=WRONG))


@must("ControllerModifyVolume")
async def test_c46_modifying_is_idempotent(driver: Subject) -> None:
    """The same parameters twice, also while the volume is used."""
    driver.needs(*_NEEDED)
    wanted = _own(driver)
    volume = await driver.volume()
    request = csi.ControllerModifyVolumeRequest(volume_id=volume.volume_id, mutable_parameters=wanted)
    await driver.controller.modify_volume(request)
    target = await driver.publish(volume)
    (target / "file").write_text("precious")
    await driver.controller.modify_volume(request)
    assert (target / "file").read_text() == "precious"


@must("CreateVolume")
async def test_c19_made_with_mutable_parameters(driver: Subject) -> None:
    """Good ones: OK. One that is none: INVALID_ARGUMENT."""
    driver.needs(*_NEEDED)
    request = driver.create_request()
    request.mutable_parameters.update(WRONG)
    with driver.refused("INVALID_ARGUMENT"):
        await driver.create(request)
    request = driver.create_request()
    request.mutable_parameters.update(_own(driver))
    await driver.create(request)
