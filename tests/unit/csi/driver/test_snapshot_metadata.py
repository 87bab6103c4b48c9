"""Which blocks of an image are in use, and which have changed: on sparse files."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from csi import errors
from csi.driver.snapshot_metadata import BLOCK_BYTES, asked_for, changed, messages, written

SIZE = 16 * BLOCK_BYTES + 4096


@pytest.fixture
def images(tmp_path: Path) -> Iterator[tuple[int, int]]:
    fds = [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in "ab"]
    for fd in fds:
        os.ftruncate(fd, SIZE)
    yield fds[0], fds[1]
    for fd in fds:
        os.close(fd)


def test_what_is_in_use(images: tuple[int, int]) -> None:
    """Each block once and in order, however many places in it were written to; a hole is none."""
    image, _ = images
    assert list(written(image)) == []
    for at in (5, 4096, 9 * BLOCK_BYTES - 1, SIZE - 1):
        os.pwrite(image, b"xx"[: SIZE - at], at)
    assert list(written(image)) == [0, 8 * BLOCK_BYTES, 9 * BLOCK_BYTES, 16 * BLOCK_BYTES]


def test_what_has_changed(images: tuple[int, int]) -> None:
    """Blocks that differ; the same bytes are no change, and zeros are the same as a hole."""
    old, new = images
    os.pwrite(old, b"same", 0)
    os.pwrite(new, b"same", 0)
    os.pwrite(old, bytes(100), 2 * BLOCK_BYTES)
    os.pwrite(old, b"gone", 4 * BLOCK_BYTES)
    os.pwrite(new, b"new", 6 * BLOCK_BYTES)
    assert list(changed(old, new)) == [4 * BLOCK_BYTES, 6 * BLOCK_BYTES]


def test_what_is_asked_for() -> None:
    """From the block that the offset is in, up to the end of the snapshot: an older one may be larger. Beyond: OUT_OF_RANGE."""
    blocks = [0, BLOCK_BYTES, 16 * BLOCK_BYTES, 17 * BLOCK_BYTES]
    assert asked_for(blocks, 0, end=SIZE) == blocks[:3]
    assert asked_for(blocks, BLOCK_BYTES - 1, end=SIZE) == blocks[:3]
    assert asked_for(blocks, BLOCK_BYTES, end=SIZE) == blocks[1:3]
    assert asked_for(blocks, SIZE, end=SIZE) == []
    for beyond in (-1, SIZE + 1):
        with pytest.raises(errors.OutOfRange):
            asked_for(blocks, beyond, end=SIZE)


def test_messages() -> None:
    """As many blocks as are wanted in each, the last one cut off at the end; one message where there are none."""
    found = messages([0, 15 * BLOCK_BYTES, 16 * BLOCK_BYTES], 2, end=SIZE)
    assert [[(each.byte_offset, each.size_bytes) for each in some] for some in found] == [
        [(0, BLOCK_BYTES), (15 * BLOCK_BYTES, BLOCK_BYTES)],
        [(16 * BLOCK_BYTES, 4096)],
    ]
    assert list(messages([], 0, end=SIZE)) == [[]]
