"""A driver that ends and comes again: between calls, within them, and what it says while it starts."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from csi import errors
from csi.testing.levels import must, should
from csi.testing.subject import Subject
from csi.testing.volume import VolumeUnderTest
from csi.values import ControllerCapability, NodeCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

_READY_SECONDS = 60.0
_PAUSE_SECONDS = 0.02
_IN_FLIGHT_SECONDS = 0.002  # a call has been sent by then, and few are answered


def _restart(driver: Subject) -> Callable[[], Awaitable[None]]:
    """Skips where the driver cannot be restarted."""
    if driver.implementation.restart is None:
        pytest.skip("no way to restart the driver: name a command (--csi-restart)")
    return driver.implementation.restart


@must("Volume Lifecycle")
async def test_n30_a_driver_that_was_restarted(driver: Subject) -> None:
    """It knows what was staged and published before, and takes it down."""
    restart = _restart(driver)
    volume = await driver.volume()
    target = await driver.publish(volume)
    (target / "file").write_text("precious")
    await restart()
    await driver.node.publish_volume(driver.publish_request(volume, target))
    assert driver.depth(target) == 1
    assert (target / "file").read_text() == "precious"
    await restart()
    await driver.take_down(volume)
    assert not target.exists()


@must("Volume Lifecycle")
async def test_n30b_a_restart_before_every_call(driver: Subject) -> None:
    """Of a volume's life, with statistics and growing: each call finds what the ones before have done, and nothing is left."""
    restart = _restart(driver)
    driver.needs(ControllerCapability.CREATE_DELETE_VOLUME)
    node_id = (await driver.node.info()).node_id
    volume = await driver.volume()
    await restart()
    await driver.attach(volume)
    await restart()
    await driver.stage(volume)
    await restart()
    target = await driver.publish(volume)
    (target / "file").write_text("precious")
    if driver.can(NodeCapability.GET_VOLUME_STATS):
        await restart()
        request = csi.NodeGetVolumeStatsRequest(volume_id=volume.volume_id, volume_path=str(target))
        await driver.node.get_volume_stats(request)
    await restart()
    await driver.unpublish(volume, target)
    assert not target.exists()
    target = await driver.publish(volume)
    assert (target / "file").read_text() == "precious"
    await driver.unpublish(volume, target)
    await restart()
    await driver.unstage(volume)
    await restart()
    await driver.detach(volume)
    assert (await driver.node.info()).node_id == node_id
    await driver.delete(volume)


@must("Volume Lifecycle")
async def test_x16_a_restart_within_calls(driver: Subject) -> None:
    """Each call is cut off by the driver's end and asked again: one volume, one mount, its data, and then nothing."""
    restart = _restart(driver)
    driver.needs(ControllerCapability.CREATE_DELETE_VOLUME)

    async def cut_off(call: Callable[[], Awaitable[object]]) -> None:
        begun = asyncio.ensure_future(call())
        await asyncio.sleep(_IN_FLIGHT_SECONDS)
        await restart()
        with contextlib.suppress(errors.Uncertain, errors.Unreachable):
            await begun
        await call()

    wanted = driver.create_request()
    await cut_off(lambda: driver.create(wanted))
    assert len(driver.volumes) == 1, "a second volume was made under the same name"
    (volume,) = driver.volumes
    await driver.attach(volume)
    if driver.can(NodeCapability.STAGE_UNSTAGE_VOLUME):
        volume.staging = driver.staging_path()
        stage = driver.stage_request(volume, volume.staging)
        await cut_off(lambda: driver.node.stage_volume(stage))
        assert driver.depth(volume.staging) <= 1
    target = driver.path()
    volume.targets.append(target)
    publish = driver.publish_request(volume, target)
    await cut_off(lambda: driver.node.publish_volume(publish))
    assert driver.depth(target) == 1
    (target / "file").write_text("precious")
    await _cut_off_taking_down(driver, volume, target, cut_off)


async def _cut_off_taking_down(
    driver: Subject,
    volume: VolumeUnderTest,
    target: Path,
    cut_off: Callable[[Callable[[], Awaitable[object]]], Awaitable[None]],
) -> None:
    await cut_off(lambda: driver.unpublish(volume, target))
    assert not target.exists()
    again = await driver.publish(volume)
    assert (again / "file").read_text() == "precious"
    await driver.unpublish(volume, again)
    if (staging := volume.staging) is not None:
        unstage = csi.NodeUnstageVolumeRequest(volume_id=volume.volume_id, staging_target_path=str(staging))
        await cut_off(lambda: driver.node.unstage_volume(unstage))
        volume.staging = None
        assert driver.depth(staging) == 0
    await driver.detach(volume)
    await cut_off(lambda: driver.delete(volume))


@should("Probe")
async def test_i6_a_driver_that_starts(driver: Subject) -> None:
    """Until it is ready nobody listens, or Probe says so (`ready` false, FAILED_PRECONDITION), and other calls are answered or
    refused, never left without an answer; in the end it is ready.
    """
    restart = _restart(driver)
    again = asyncio.ensure_future(restart())
    asked = csi.NodeGetInfoRequest()
    try:
        async with asyncio.timeout(_READY_SECONDS):
            ready = False
            while not (again.done() and ready):
                with contextlib.suppress(errors.Unreachable, errors.Unavailable, errors.WrongState):
                    ready = False
                    ready = await driver.identity.ready()
                    assert (await driver.node.get_info(asked, deadline_seconds=_READY_SECONDS)).node_id
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError:
        pytest.fail(f"not ready {_READY_SECONDS:g} s after it was restarted")
    finally:
        await again
