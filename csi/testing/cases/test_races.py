"""Calls that meet: the same one many times at once, two pods that come and go, callers that leave."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from csi import errors
from csi.testing.levels import must, should
from csi.testing.subject import Subject
from csi.testing.volume import VolumeUnderTest
from csi.values import AccessMode, NodeCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

_REPEATS = 10
_ROUNDS = 4
_AT_ONCE = 0.004  # seconds: some calls are answered in time, some not
_SETTLE_SECONDS = 0.5  # a call that was given up has been taken by then, if it ever is


@should("Concurrency")
async def test_n29_many_at_once(driver: Subject) -> None:
    """The same publish ten times at the same time: OK or ABORTED to each, and one mount in the end."""
    volume = await driver.volume()
    await driver.stage(volume)
    target = driver.path()
    volume.targets.append(target)
    request = driver.publish_request(volume, target)
    found = await asyncio.gather(
        *(driver.node.publish_volume(request) for _ in range(_REPEATS)), return_exceptions=True
    )
    wrong = [each for each in found if isinstance(each, BaseException) and not isinstance(each, errors.Pending)]
    assert wrong == []
    assert driver.depth(target) == 1


@must("Concurrency")
async def test_n31_calls_that_were_given_up(driver: Subject) -> None:
    """Each call whose caller left is asked again, and is done once: one mount, which can be taken away."""
    volume = await driver.volume()
    await driver.stage(volume)
    target = driver.path()
    volume.targets.append(target)
    for _ in range(_REPEATS):
        with contextlib.suppress(errors.Uncertain, errors.Unreachable):
            await driver.node.publish_volume(driver.publish_request(volume, target), deadline_seconds=_AT_ONCE)
        await driver.node.publish_volume(driver.publish_request(volume, target))
        assert driver.depth(target) == 1
    await asyncio.sleep(_SETTLE_SECONDS)
    unpublish = csi.NodeUnpublishVolumeRequest(volume_id=volume.volume_id, target_path=str(target))
    with contextlib.suppress(errors.Uncertain, errors.Unreachable):
        await driver.node.unpublish_volume(unpublish, deadline_seconds=_AT_ONCE)
    await driver.unpublish(volume, target)
    assert driver.depth(target) == 0


@must("NodePublishVolume")
async def test_x2_two_pods_that_race(driver: Subject) -> None:
    """Over and over one pod comes while the other goes: who is there sees the volume and writes, who has gone has no target."""
    volume = await _shared(driver)
    target = await driver.publish(volume)
    (target / "file").write_text("0")
    for number in range(1, _ROUNDS + 1):
        coming, _ = await asyncio.gather(driver.publish(volume), driver.unpublish(volume, target))
        assert not target.exists()
        assert driver.depth(coming) == 1
        assert (coming / "file").read_text() == str(number - 1)
        (coming / "file").write_text(str(number))
        target = coming


@must("NodePublishVolume")
async def test_n17b_many_pods_at_once(driver: Subject) -> None:
    """Staged once and published at ten targets at the same time, each with one mount; all go at the same time, and come again."""
    volume = await _shared(driver)
    await driver.stage(volume)
    for _ in range(2):
        targets = await asyncio.gather(*(driver.publish(volume) for _ in range(_REPEATS)))
        assert [driver.depth(target) for target in targets] == [1] * _REPEATS
        for target in targets:
            (target / target.parent.name).write_text("")
        assert {target.parent.name for target in targets} <= _names(targets[0])
        await asyncio.gather(*(driver.unpublish(volume, target) for target in targets))
        assert [target for target in targets if target.exists()] == []


async def _shared(driver: Subject) -> VolumeUnderTest:
    """A volume that several pods of the node may write to."""
    driver.needs(NodeCapability.SINGLE_NODE_MULTI_WRITER)
    return await driver.volume(driver.capability(AccessMode.SINGLE_NODE_MULTI_WRITER))


def _names(target: Path) -> set[str]:
    return {path.name for path in target.iterdir()}
