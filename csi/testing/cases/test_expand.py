"""ControllerExpandVolume and NodeExpandVolume."""

import os
from pathlib import Path

import pytest

from csi import errors
from csi.testing import devices
from csi.testing.levels import must
from csi.testing.subject import Subject
from csi.testing.volume import VolumeUnderTest
from csi.values import ControllerCapability, NodeCapability, PluginCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

_NEEDED = (ControllerCapability.CREATE_DELETE_VOLUME, ControllerCapability.EXPAND_VOLUME)
_EXBIBYTE = 1024**6
UNKNOWN = "csitest-no-such-volume"


def expansion(driver: Subject, volume: VolumeUnderTest, by: int) -> csi.ControllerExpandVolumeRequest:
    size = driver.implementation.volume_bytes + by
    return csi.ControllerExpandVolumeRequest(
        volume_id=volume.volume_id,
        capacity_range=csi.CapacityRange(required_bytes=size),
        volume_capability=volume.capability,
    )


def _needs_an_expansion(driver: Subject) -> None:
    """Skips where the driver claims neither kind."""
    if not driver.claims & {PluginCapability.ONLINE_EXPANSION, PluginCapability.OFFLINE_EXPANSION}:
        pytest.skip("not claimed: an expansion")


def on_node(volume: VolumeUnderTest, target: Path, size: int) -> csi.NodeExpandVolumeRequest:
    return csi.NodeExpandVolumeRequest(
        volume_id=volume.volume_id,
        volume_path=str(target),
        staging_target_path=str(volume.staging or ""),
        capacity_range=csi.CapacityRange(required_bytes=size),
        volume_capability=volume.capability,
    )


@must("ControllerExpandVolume")
async def test_c47_expanding_too_little(driver: Subject) -> None:
    """No id, no size: INVALID_ARGUMENT. A volume that is not there: NOT_FOUND."""
    driver.needs(*_NEEDED)
    volume = await driver.volume()
    for field in ("volume_id", "capacity_range"):
        request = expansion(driver, volume, driver.implementation.expand_bytes)
        request.ClearField(field)
        with driver.refused("INVALID_ARGUMENT"):
            await driver.controller.expand_volume(request)
    request = expansion(driver, volume, driver.implementation.expand_bytes)
    request.volume_id = UNKNOWN
    with driver.refused("NOT_FOUND"):
        await driver.controller.expand_volume(request)


@must("ControllerExpandVolume")
async def test_c48_a_volume_grows(driver: Subject) -> None:
    """At least to what is required; again, and to less, changes nothing (C49)."""
    driver.needs(*_NEEDED)
    volume = await driver.volume()
    request = expansion(driver, volume, driver.implementation.expand_bytes)
    grown = await driver.controller.expand_volume(request)
    assert grown.capacity_bytes >= request.capacity_range.required_bytes
    assert (await driver.controller.expand_volume(request)).capacity_bytes == grown.capacity_bytes
    smaller = await driver.controller.expand_volume(expansion(driver, volume, 0))
    assert smaller.capacity_bytes == grown.capacity_bytes


@must("ControllerExpandVolume")
async def test_c50_growing_beyond_all_there_is(driver: Subject) -> None:
    """OUT_OF_RANGE, and the volume is as large as before."""
    driver.needs(*_NEEDED)
    volume = await driver.volume()
    with driver.refused("OUT_OF_RANGE"):
        await driver.controller.expand_volume(expansion(driver, volume, _EXBIBYTE))
    same = await driver.controller.expand_volume(expansion(driver, volume, 0))
    assert same.capacity_bytes in (0, volume.capacity_bytes or same.capacity_bytes)


@must("ControllerExpandVolume")
async def test_c51_offline_means_not_published(driver: Subject) -> None:
    """With OFFLINE alone, a published volume is FAILED_PRECONDITION."""
    driver.needs(*_NEEDED, PluginCapability.OFFLINE_EXPANSION)
    if driver.can(PluginCapability.ONLINE_EXPANSION):
        pytest.skip("ONLINE is claimed too")
    volume = await driver.volume()
    await driver.publish(volume)
    with driver.refused("FAILED_PRECONDITION"):
        await driver.controller.expand_volume(expansion(driver, volume, driver.implementation.expand_bytes))


@must("NodeExpandVolume")
async def test_n25_expanding_what_is_not_there(driver: Subject) -> None:
    """No id, no path: INVALID_ARGUMENT. A volume that is not there: NOT_FOUND."""
    driver.needs(NodeCapability.EXPAND_VOLUME)
    volume = await driver.volume()
    target = await driver.publish(volume)
    for field in ("volume_id", "volume_path"):
        request = on_node(volume, target, driver.implementation.volume_bytes)
        request.ClearField(field)
        with driver.refused("INVALID_ARGUMENT"):
            await driver.node.expand_volume(request)
    request = on_node(volume, target, driver.implementation.volume_bytes)
    request.volume_id, request.volume_path = UNKNOWN, "some/path"
    with driver.refused("NOT_FOUND"):
        await driver.node.expand_volume(request)


@must("NodeExpandVolume")
async def test_x10_growing_while_it_is_used(driver: Subject) -> None:
    """With ONLINE: the file system is larger, a file that was open all the while has its content; twice is fine (N26)."""
    driver.needs(*_NEEDED, PluginCapability.ONLINE_EXPANSION)
    volume = await driver.volume()
    target = await driver.publish(volume)
    before = _total(target)
    (target / "file").write_text("precious")
    held = os.open(target / "file", os.O_RDONLY | os.O_CLOEXEC)
    try:
        request = expansion(driver, volume, driver.implementation.expand_bytes)
        grown = await driver.controller.expand_volume(request)
        if grown.node_expansion_required:
            for _ in range(2):
                await driver.node.expand_volume(on_node(volume, target, grown.capacity_bytes))
        assert os.pread(held, 100, 0) == b"precious"
    finally:
        os.close(held)
    _check_grown(driver, before, _total(target))


@must("NodeExpandVolume")
async def test_n27_growing_that_has_to_wait(driver: Subject) -> None:
    """While it is published it grows, or that is FAILED_PRECONDITION and it goes on as it is; then it grows once it is not."""
    driver.needs(*_NEEDED)
    _needs_an_expansion(driver)
    volume = await driver.volume()
    target = await driver.publish(volume)
    before = _total(target)
    (target / "file").write_text("precious")
    request = expansion(driver, volume, driver.implementation.expand_bytes)
    try:
        grown = await driver.controller.expand_volume(request)
        if grown.node_expansion_required:
            await driver.node.expand_volume(on_node(volume, target, grown.capacity_bytes))
    except errors.CSIError as error:
        assert error.code == "FAILED_PRECONDITION"
        assert _total(target) == before
    (target / "file").write_text("more precious")
    await driver.take_down(volume)
    grown = await driver.controller.expand_volume(request)
    target = await driver.publish(volume)
    if grown.node_expansion_required:
        await driver.node.expand_volume(on_node(volume, target, grown.capacity_bytes))
    assert (target / "file").read_text() == "more precious"
    _check_grown(driver, before, _total(target))


@must("ControllerExpandVolume")
async def test_x11_growing_while_it_is_not_used(driver: Subject) -> None:
    """What was written before is there, and the file system is larger when it is published the next time."""
    driver.needs(*_NEEDED)
    _needs_an_expansion(driver)
    volume = await driver.volume()
    target = await driver.publish(volume)
    before = _total(target)
    (target / "file").write_text("precious")
    await driver.take_down(volume)
    grown = await driver.controller.expand_volume(expansion(driver, volume, driver.implementation.expand_bytes))
    target = await driver.publish(volume)
    if grown.node_expansion_required:
        await driver.node.expand_volume(on_node(volume, target, grown.capacity_bytes))
    assert (target / "file").read_text() == "precious"
    _check_grown(driver, before, _total(target))


@must("NodeExpandVolume")
async def test_x11b_a_block_device_grows(driver: Subject) -> None:
    """At the next time that it is published, at the latest; what was at its beginning is there."""
    driver.needs(*_NEEDED)
    _needs_an_expansion(driver)
    volume = await driver.block_volume()
    target = await driver.publish(volume)
    devices.write(target, b"precious")
    await driver.take_down(volume)
    grown = await driver.controller.expand_volume(expansion(driver, volume, driver.implementation.expand_bytes))
    target = await driver.publish(volume)
    if grown.node_expansion_required:
        await driver.node.expand_volume(on_node(volume, target, grown.capacity_bytes))
    assert devices.read(target, 8) == b"precious"
    assert devices.size(target) >= grown.capacity_bytes


def _total(target: Path) -> int:
    found = os.statvfs(target)
    return found.f_blocks * found.f_frsize


def _check_grown(driver: Subject, before: int, after: int) -> None:
    if before > driver.implementation.volume_bytes:
        pytest.skip(f"the volume has no file system of its own: there are {before} bytes in all")
    assert after > before, f"the file system has {after} bytes, as before"
