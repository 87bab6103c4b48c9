"""The SnapshotMetadata service: which blocks of a snapshot are in use, and which have changed since another."""

import contextlib
from itertools import pairwise
from typing import TypeAlias

import pytest

from csi import errors
from csi.testing import devices
from csi.testing.levels import must, should
from csi.testing.readiness import until_ready
from csi.testing.subject import Subject
from csi.testing.volume import VolumeUnderTest
from csi.values import ControllerCapability, PluginCapability
from proto import csi_pb2 as csi

pytestmark = pytest.mark.asyncio

UNKNOWN = "csitest-no-such-snapshot"
_NEEDED = (
    PluginCapability.SNAPSHOT_METADATA_SERVICE,
    ControllerCapability.CREATE_DELETE_VOLUME,
    ControllerCapability.CREATE_DELETE_SNAPSHOT,
)
_IDS = ("base_snapshot_id", "target_snapshot_id")
Answers: TypeAlias = "list[csi.GetMetadataAllocatedResponse] | list[csi.GetMetadataDeltaResponse]"


@must("GetMetadataAllocated")
async def test_d1_metadata_of_what_is_not_there(driver: Subject) -> None:
    """No id: INVALID_ARGUMENT; a snapshot that is not there: NOT_FOUND. So it is of two."""
    driver.needs(*_NEEDED)
    _, snapshot = await _written(driver, b"one", at=0)
    with driver.refused("INVALID_ARGUMENT"):
        await _allocated(driver)
    with driver.refused("NOT_FOUND"):
        await _allocated(driver, snapshot_id=UNKNOWN)
    for missing in _IDS:
        with driver.refused("INVALID_ARGUMENT"):
            await _delta(driver, *("" if name == missing else snapshot.snapshot_id for name in _IDS))
        with driver.refused("NOT_FOUND"):
            await _delta(driver, *(UNKNOWN if name == missing else snapshot.snapshot_id for name in _IDS))


@must("GetMetadataAllocated")
async def test_d2_metadata_from_beyond_the_end(driver: Subject) -> None:
    """From before the beginning, and from beyond the end: OUT_OF_RANGE."""
    driver.needs(*_NEEDED)
    _, snapshot = await _written(driver, b"one", at=0)
    (first, *_) = await _allocated(driver, snapshot_id=snapshot.snapshot_id)
    for offset in (-1, first.volume_capacity_bytes + 1):
        with driver.refused("OUT_OF_RANGE"):
            await _allocated(driver, snapshot_id=snapshot.snapshot_id, starting_offset=offset)


@must("GetMetadataAllocated")
async def test_d3_what_is_in_use(driver: Subject) -> None:
    """What was written is among it; blocks ascend and do not overlap, one a message where that is asked for, all of one kind.

    Asked for again from the end of the first, the rest comes (D5).
    """
    driver.needs(*_NEEDED)
    volume, _ = await _written(driver, b"one", at=0)
    middle = driver.implementation.volume_bytes // 2
    _, snapshot = await _written(driver, b"two", at=middle, volume=volume)
    answers = await _allocated(driver, snapshot_id=snapshot.snapshot_id, max_results=1)
    blocks = _checked(answers, most=1)
    assert _has(blocks, 0)
    assert _has(blocks, middle)
    after = blocks[0][1]
    rest = _checked(await _allocated(driver, snapshot_id=snapshot.snapshot_id, starting_offset=after))
    assert [block for block in rest if block[1] > after] == blocks[1:]
    assert all(end > after for _, end in rest)


@must("GetMetadataDelta")
async def test_d4_what_has_changed(driver: Subject) -> None:
    """What was written between two snapshots is among it, and from a later place on the rest. Or FAILED_PRECONDITION,
    from a driver that does not follow changes.
    """
    driver.needs(*_NEEDED)
    volume, base = await _written(driver, b"one", at=0)
    middle = driver.implementation.volume_bytes // 2
    _, target = await _written(driver, b"two", at=middle, volume=volume)
    try:
        blocks = _checked(await _delta(driver, base.snapshot_id, target.snapshot_id))
    except errors.WrongState as error:
        pytest.skip(f"changes are not followed: {error}")
    assert _has(blocks, middle)
    assert _has(_checked(await _delta(driver, base.snapshot_id, target.snapshot_id, starting_offset=middle)), middle)


@should("GetMetadataDelta")
async def test_d4b_snapshots_of_different_volumes(driver: Subject) -> None:
    """INVALID_ARGUMENT; or FAILED_PRECONDITION, from a driver that does not follow changes."""
    driver.needs(*_NEEDED)
    (_, one), (_, other) = await _written(driver, b"one", at=0), await _written(driver, b"one", at=0)
    with driver.refused("INVALID_ARGUMENT", "FAILED_PRECONDITION"):
        await _delta(driver, one.snapshot_id, other.snapshot_id)


async def _written(
    driver: Subject, data: bytes, *, at: int, volume: VolumeUnderTest | None = None
) -> tuple[VolumeUnderTest, csi.Snapshot]:
    """A block device (a new one) after that was written to it, and its snapshot."""
    volume = volume or await driver.block_volume()
    target = await driver.publish(volume)
    devices.write(target, data, at=at)
    await driver.take_down(volume)
    snapshot = await driver.snapshot(volume)
    await until_ready(driver, snapshot)
    return volume, snapshot


async def _allocated(
    driver: Subject, *, snapshot_id: str = "", starting_offset: int = 0, max_results: int = 0
) -> list[csi.GetMetadataAllocatedResponse]:
    request = csi.GetMetadataAllocatedRequest(
        snapshot_id=snapshot_id, starting_offset=starting_offset, max_results=max_results
    )
    async with contextlib.aclosing(driver.snapshot_metadata.allocated(request)) as answers:
        return [each async for each in answers]


async def _delta(
    driver: Subject, base: str = "", target: str = "", *, starting_offset: int = 0
) -> list[csi.GetMetadataDeltaResponse]:
    request = csi.GetMetadataDeltaRequest(
        base_snapshot_id=base, target_snapshot_id=target, starting_offset=starting_offset
    )
    async with contextlib.aclosing(driver.snapshot_metadata.delta(request)) as answers:
        return [each async for each in answers]


def _checked(answers: Answers, *, most: int = 0) -> list[tuple[int, int]]:
    """(begin, end) of each block, when they are as the specification has them."""
    assert answers, "no message at all"
    assert len({(each.block_metadata_type, each.volume_capacity_bytes) for each in answers}) == 1
    assert answers[0].block_metadata_type in (csi.FIXED_LENGTH, csi.VARIABLE_LENGTH)
    assert not most or all(len(each.block_metadata) <= most for each in answers), f"more than {most} in a message"
    blocks = [
        (block.byte_offset, block.byte_offset + block.size_bytes) for each in answers for block in each.block_metadata
    ]
    assert all(begin < end for begin, end in blocks)
    assert all(before[1] <= after[0] for before, after in pairwise(blocks)), "blocks overlap, or do not ascend"
    assert all(end <= answers[0].volume_capacity_bytes for _, end in blocks), "a block is beyond the end"
    if answers[0].block_metadata_type == csi.FIXED_LENGTH:
        assert len({end - begin for begin, end in blocks}) <= 1, "blocks of FIXED_LENGTH are of several lengths"
    return blocks


def _has(blocks: list[tuple[int, int]], at: int) -> bool:
    return any(begin <= at < end for begin, end in blocks)
