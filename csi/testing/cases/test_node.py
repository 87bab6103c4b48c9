"""NodeGetInfo, NodeStageVolume, NodePublishVolume, and their counterparts."""

from pathlib import Path

import pytest

from csi.testing.levels import must, should
from csi.testing.subject import WRITER, Subject
from csi.values import AccessMode, ControllerCapability, NodeCapability, mount_capability
from proto import csi_pb2 as csi
from runtimes.linux.mounts import is_mount_point

pytestmark = pytest.mark.asyncio

UNKNOWN = "csitest-no-such-volume"
_REPEATS = 10


@must("NodeGetInfo")
async def test_n1_a_node_has_an_id(driver: Subject) -> None:
    """Of 1 to 256 bytes, and always the same; max_volumes_per_node is not negative."""
    assert await driver.node.info() == driver.info  # BadAnswer for what breaks the rules


@must("NodeGetCapabilities")
async def test_n2_capabilities_that_are_known(driver: Subject) -> None:
    """No entry without a type."""
    answer = await driver.node.get_capabilities(csi.NodeGetCapabilitiesRequest())
    assert all(entry.rpc.type for entry in answer.capabilities)


@must("NodeStageVolume")
@pytest.mark.parametrize("field", ["volume_id", "staging_target_path", "volume_capability"])
async def test_n3_staging_too_little(driver: Subject, field: str) -> None:
    """INVALID_ARGUMENT."""
    driver.needs(NodeCapability.STAGE_UNSTAGE_VOLUME)
    volume = await driver.volume()
    await driver.attach(volume)
    request = driver.stage_request(volume, driver.staging_path())
    request.ClearField(field)
    with driver.refused("INVALID_ARGUMENT"):
        await driver.node.stage_volume(request)


@must("NodeStageVolume")
async def test_n3b_staging_what_is_not_there(driver: Subject) -> None:
    """NOT_FOUND."""
    driver.needs(NodeCapability.STAGE_UNSTAGE_VOLUME)
    request = driver.stage_request(await driver.volume(), driver.staging_path())
    request.volume_id = UNKNOWN
    with driver.refused("NOT_FOUND"):
        await driver.node.stage_volume(request)


@must("NodeStageVolume")
async def test_n4_staging_is_idempotent(driver: Subject) -> None:
    """Ten times the same, and one mount at most (X17)."""
    driver.needs(NodeCapability.STAGE_UNSTAGE_VOLUME)
    volume = await driver.volume()
    await driver.stage(volume)
    assert volume.staging is not None
    for _ in range(_REPEATS):
        await driver.node.stage_volume(driver.stage_request(volume, volume.staging))
    assert driver.depth(volume.staging) <= 1


@must("NodeStageVolume")
async def test_n5_staged_in_another_way(driver: Subject) -> None:
    """At the same path as a block device: ALREADY_EXISTS, or that the volume is none."""
    driver.needs(NodeCapability.STAGE_UNSTAGE_VOLUME)
    volume = await driver.volume()
    await driver.stage(volume)
    assert volume.staging is not None
    request = driver.stage_request(volume, volume.staging)
    request.volume_capability.CopyFrom(driver.capability(block=True))
    with driver.refused("ALREADY_EXISTS", "FAILED_PRECONDITION", "INVALID_ARGUMENT"):
        await driver.node.stage_volume(request)


@must("NodeStageVolume")
async def test_n6_staged_as_what_it_is_not(driver: Subject) -> None:
    """As what the driver itself does not confirm for the volume (ValidateVolumeCapabilities): FAILED_PRECONDITION, or
    INVALID_ARGUMENT, and no mount.
    """
    driver.needs(NodeCapability.STAGE_UNSTAGE_VOLUME, ControllerCapability.CREATE_DELETE_VOLUME)
    volume = await driver.volume()
    wanted = [driver.capability(block=True), *(driver.capability(mode) for mode in AccessMode)]
    request = driver.stage_request(volume, driver.staging_path())
    for capability in wanted:
        answer = await driver.controller.validate_volume_capabilities(
            csi.ValidateVolumeCapabilitiesRequest(volume_id=volume.volume_id, volume_capabilities=[capability])
        )
        if not answer.HasField("confirmed"):
            break
    else:
        pytest.skip("the volume may be anything")
    await driver.attach(volume)
    request.publish_context.update(volume.publish_context)
    request.volume_capability.CopyFrom(capability)
    volume.staging = Path(request.staging_target_path)
    with driver.refused("FAILED_PRECONDITION", "INVALID_ARGUMENT"):
        await driver.node.stage_volume(request)
    assert driver.depth(volume.staging) == 0


@must("NodeUnstageVolume")
@pytest.mark.parametrize("field", ["volume_id", "staging_target_path"])
async def test_n7_unstaging_too_little(driver: Subject, field: str) -> None:
    """INVALID_ARGUMENT."""
    driver.needs(NodeCapability.STAGE_UNSTAGE_VOLUME)
    request = csi.NodeUnstageVolumeRequest(
        volume_id=(await driver.volume()).volume_id, staging_target_path=str(driver.staging_path())
    )
    request.ClearField(field)
    with driver.refused("INVALID_ARGUMENT"):
        await driver.node.unstage_volume(request)


@must("NodeUnstageVolume")
async def test_n8_unstaging_is_idempotent(driver: Subject) -> None:
    """What never was staged, and what is not any more: OK, and nothing is mounted."""
    driver.needs(NodeCapability.STAGE_UNSTAGE_VOLUME)
    volume = await driver.volume()
    path = driver.staging_path()
    request = csi.NodeUnstageVolumeRequest(volume_id=volume.volume_id, staging_target_path=str(path))
    await driver.node.unstage_volume(request)
    await driver.stage(volume)
    request.staging_target_path = str(volume.staging)
    for _ in range(_REPEATS):
        await driver.node.unstage_volume(request)
    assert volume.staging is not None
    assert not is_mount_point(volume.staging)


@must("NodePublishVolume")
@pytest.mark.parametrize("field", ["volume_id", "target_path", "volume_capability"])
async def test_n9_publishing_too_little(driver: Subject, field: str) -> None:
    """INVALID_ARGUMENT."""
    volume = await driver.volume()
    await driver.stage(volume)
    request = driver.publish_request(volume, driver.path())
    request.ClearField(field)
    with driver.refused("INVALID_ARGUMENT"):
        await driver.node.publish_volume(request)


@must("NodePublishVolume")
async def test_n10_publishing_without_staging(driver: Subject) -> None:
    """A driver that stages wants the staging path: FAILED_PRECONDITION."""
    driver.needs(NodeCapability.STAGE_UNSTAGE_VOLUME)
    volume = await driver.volume()
    await driver.stage(volume)
    request = driver.publish_request(volume, driver.path())
    request.staging_target_path = ""
    with driver.refused("FAILED_PRECONDITION", "INVALID_ARGUMENT"):
        await driver.node.publish_volume(request)


@must("NodePublishVolume")
async def test_n11_publishing_what_is_not_there(driver: Subject) -> None:
    """NOT_FOUND."""
    volume = await driver.volume()
    await driver.stage(volume)
    request = driver.publish_request(volume, driver.path())
    request.volume_id = UNKNOWN
    with driver.refused("NOT_FOUND"):
        await driver.node.publish_volume(request)


@must("NodePublishVolume")
async def test_n12_publishing_makes_the_target(driver: Subject) -> None:
    """A directory that was not there, with the volume mounted on it, which can be written to."""
    target = await driver.publish(await driver.volume())
    assert target.is_dir()
    (target / "file").write_text("content")
    assert (target / "file").read_text() == "content"


@must("NodePublishVolume")
async def test_n13_publishing_is_idempotent(driver: Subject) -> None:
    """Ten times the same, and one mount (X17)."""
    volume = await driver.volume()
    target = await driver.publish(volume)
    for _ in range(_REPEATS):
        await driver.node.publish_volume(driver.publish_request(volume, target))
    assert driver.depth(target) == 1


@should("NodePublishVolume")
async def test_n14_published_in_another_way(driver: Subject) -> None:
    """At the same target with another readonly: ALREADY_EXISTS."""
    volume = await driver.volume()
    target = await driver.publish(volume)
    with driver.refused("ALREADY_EXISTS"):
        await driver.node.publish_volume(driver.publish_request(volume, target, readonly=True))


@must("NodePublishVolume")
async def test_n18_a_file_system_that_is_none(driver: Subject) -> None:
    """FAILED_PRECONDITION or INVALID_ARGUMENT, and nothing is mounted."""
    volume = await driver.volume()
    await driver.stage(volume)
    target = driver.path()
    volume.targets.append(target)
    request = driver.publish_request(volume, target)
    request.volume_capability.CopyFrom(mount_capability(WRITER, fs_type="csitest-no-such-fs"))
    with driver.refused("FAILED_PRECONDITION", "INVALID_ARGUMENT"):
        await driver.node.publish_volume(request)
    assert driver.depth(target) == 0


@must("NodePublishVolume")
async def test_n16_published_for_one_only(driver: Subject) -> None:
    """SINGLE_NODE_SINGLE_WRITER: a second target is FAILED_PRECONDITION."""
    driver.needs(NodeCapability.SINGLE_NODE_MULTI_WRITER)
    volume = await driver.volume(driver.capability(AccessMode.SINGLE_NODE_SINGLE_WRITER))
    await driver.publish(volume)
    with driver.refused("FAILED_PRECONDITION"):
        await driver.node.publish_volume(driver.publish_request(volume, driver.path()))


@should("NodePublishVolume")
async def test_n15_published_at_one_target(driver: Subject) -> None:
    """SINGLE_NODE_WRITER of a driver without SINGLE_NODE_MULTI_WRITER: a second target is FAILED_PRECONDITION."""
    if driver.can(NodeCapability.SINGLE_NODE_MULTI_WRITER):
        pytest.skip("SINGLE_NODE_MULTI_WRITER is claimed: a second target is allowed")
    volume = await driver.volume()
    await driver.publish(volume)
    volume.targets.append(second := driver.path())
    with driver.refused("FAILED_PRECONDITION"):
        await driver.node.publish_volume(driver.publish_request(volume, second))


@must("NodePublishVolume")
async def test_n17_staged_once_and_published_twice(driver: Subject) -> None:
    """SINGLE_NODE_MULTI_WRITER: both see what the other writes; when one goes, the other goes on (X2)."""
    driver.needs(NodeCapability.SINGLE_NODE_MULTI_WRITER)
    volume = await driver.volume(driver.capability(AccessMode.SINGLE_NODE_MULTI_WRITER))
    first, second = await driver.publish(volume), await driver.publish(volume)
    (first / "one").write_text("1")
    (second / "two").write_text("2")
    assert ((second / "one").read_text(), (first / "two").read_text()) == ("1", "2")
    await driver.unpublish(volume, first)
    (second / "three").write_text("3")
    assert {"one", "two", "three"} <= {path.name for path in second.iterdir()}


@must("NodeUnpublishVolume")
@pytest.mark.parametrize("field", ["volume_id", "target_path"])
async def test_n19_unpublishing_too_little(driver: Subject, field: str) -> None:
    """INVALID_ARGUMENT."""
    request = csi.NodeUnpublishVolumeRequest(
        volume_id=(await driver.volume()).volume_id, target_path=str(driver.path())
    )
    request.ClearField(field)
    with driver.refused("INVALID_ARGUMENT"):
        await driver.node.unpublish_volume(request)


@must("NodeUnpublishVolume")
async def test_n20_unpublishing_removes_the_target(driver: Subject) -> None:
    """It is not mounted, and not there; twice is fine (N21)."""
    volume = await driver.volume()
    target = await driver.publish(volume)
    for _ in range(_REPEATS):
        await driver.unpublish(volume, target)
        assert not target.exists()


@must("NodeUnpublishVolume")
async def test_n21_unpublishing_what_never_was(driver: Subject) -> None:
    """A target that is not there, and one that is an empty directory: OK."""
    volume = await driver.volume()
    await driver.unpublish(volume, driver.path())
    empty = driver.path()
    empty.mkdir()
    try:
        await driver.unpublish(volume, empty)
    finally:
        if empty.exists():
            empty.rmdir()


@must("NodeGetVolumeStats")
async def test_n22_figures_of_what_is_not_there(driver: Subject) -> None:
    """No id, no path: INVALID_ARGUMENT. An unknown volume, and a path at which it is not: NOT_FOUND."""
    driver.needs(NodeCapability.GET_VOLUME_STATS)
    volume = await driver.volume()
    target = await driver.publish(volume)
    stats = driver.node.get_volume_stats
    with driver.refused("INVALID_ARGUMENT"):
        await stats(csi.NodeGetVolumeStatsRequest(volume_path=str(target)))
    with driver.refused("INVALID_ARGUMENT"):
        await stats(csi.NodeGetVolumeStatsRequest(volume_id=volume.volume_id))
    with driver.refused("NOT_FOUND"):
        await stats(csi.NodeGetVolumeStatsRequest(volume_id=UNKNOWN, volume_path=str(target)))
    with driver.refused("NOT_FOUND"):
        await stats(csi.NodeGetVolumeStatsRequest(volume_id=volume.volume_id, volume_path="some/path"))


@must("Volume Lifecycle")
async def test_n28_a_life_with_every_step_repeated(driver: Subject) -> None:
    """Used and taken away twice over; each call on the node three times, and once more out of order what takes down."""
    volume = await driver.volume()
    for _ in range(2):
        target = await driver.publish(volume)
        staging = volume.staging
        for _ in range(2):
            if staging is not None:
                await driver.node.stage_volume(driver.stage_request(volume, staging))
            await driver.node.publish_volume(driver.publish_request(volume, target))
        for _ in range(3):
            await driver.unpublish(volume, target)
        for _ in range(3):
            volume.staging = staging
            await driver.unstage(volume)
        await driver.unpublish(volume, target)
        volume.staging = staging
        await driver.unstage(volume)
        await driver.detach(volume)
