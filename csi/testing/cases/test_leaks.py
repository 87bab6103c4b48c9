"""What is left of volumes that were used: nothing."""

import contextlib

import pytest

from csi import errors
from csi.testing import leftovers
from csi.testing.levels import must
from csi.testing.subject import Subject
from csi.values import ControllerCapability

pytestmark = pytest.mark.asyncio


@must("Volume Lifecycle")
async def test_x15_nothing_is_left(driver: Subject) -> None:
    """Of a file system and a block device that two pods used: no mount, no target and, once they are deleted, no disk; no volume
    in the driver's list either.
    """
    driver.needs(ControllerCapability.CREATE_DELETE_VOLUME)
    volumes = [await driver.volume()]
    with contextlib.suppress(errors.Final):  # it has no block devices
        volumes.append(await driver.create(driver.create_request(driver.capability(block=True))))
    for volume in volumes:
        await driver.unpublish(volume, await driver.publish(volume))
        await driver.publish(volume, readonly=True)
        await driver.take_down(volume)
    assert leftovers.left_below(driver.directory) == []
    assert await driver.clean_up() == []
    if driver.can(ControllerCapability.LIST_VOLUMES):
        listed = {entry.volume.volume_id async for entry in driver.controller.volumes()}
        assert listed & {volume.volume_id for volume in volumes} == set()
