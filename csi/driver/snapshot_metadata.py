"""The SnapshotMetadata service, for snapshots of block devices: where there is something in them, and where two differ."""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from csi import errors
from csi.driver import checks, contents
from csi.driver.locks import Locks
from csi.driver.records import Snapshot
from csi.driver.settings import Settings
from csi.driver.store import Store
from proto import csi_pb2 as csi
from runtimes.linux.tasks import run_blocking

BLOCK_BYTES = 65536
_MOST_RESULTS = 256  # of one message
_KIND = csi.VARIABLE_LENGTH  # the last one may be cut off


class SnapshotMetadataService:
    """`locks`: by snapshot id, shared with who deletes them."""

    def __init__(self, settings: Settings, store: Store, locks: Locks) -> None:
        self._settings = settings
        self._store = store
        self._locks = locks

    async def get_metadata_allocated(
        self, request: csi.GetMetadataAllocatedRequest
    ) -> Iterator[csi.GetMetadataAllocatedResponse]:
        self._check(request.max_results)
        async with self._locks.of(checks.required(request.snapshot_id, "snapshot_id")):
            snapshot = self._disk(request.snapshot_id)
            with self._image(snapshot) as image:
                blocks = await run_blocking(
                    lambda: asked_for(written(image), request.starting_offset, end=snapshot.size_bytes)
                )
        return (
            csi.GetMetadataAllocatedResponse(
                block_metadata_type=_KIND, volume_capacity_bytes=snapshot.size_bytes, block_metadata=some
            )
            for some in messages(blocks, request.max_results, end=snapshot.size_bytes)
        )

    async def get_metadata_delta(self, request: csi.GetMetadataDeltaRequest) -> Iterator[csi.GetMetadataDeltaResponse]:
        self._check(request.max_results)
        ids = {
            checks.required(request.base_snapshot_id, "base_snapshot_id"),
            checks.required(request.target_snapshot_id, "target_snapshot_id"),
        }
        async with contextlib.AsyncExitStack() as held:
            for identity in sorted(ids):
                await held.enter_async_context(self._locks.of(identity))
            base, target = self._disk(request.base_snapshot_id), self._disk(request.target_snapshot_id)
            if base.source_volume_id != target.source_volume_id:
                raise errors.InvalidArgument("the snapshots are of different volumes")
            with self._image(base) as old, self._image(target) as new:
                blocks = await run_blocking(
                    lambda: asked_for(changed(old, new), request.starting_offset, end=target.size_bytes)
                )
        return (
            csi.GetMetadataDeltaResponse(
                block_metadata_type=_KIND, volume_capacity_bytes=target.size_bytes, block_metadata=some
            )
            for some in messages(blocks, request.max_results, end=target.size_bytes)
        )

    def _check(self, max_results: int) -> None:
        if not self._settings.alpha:
            raise errors.NotSupported("SNAPSHOT_METADATA_SERVICE is not claimed")
        if max_results < 0:
            raise errors.InvalidArgument("max_results is less than nothing")

    def _disk(self, snapshot_id: str) -> Snapshot:
        """Raises NotFound, WrongState for what has no blocks."""
        snapshot = self._store.snapshots.known(snapshot_id)
        if snapshot.backing != "image":
            raise errors.WrongState("the snapshot is of a directory, which has no blocks")
        return snapshot

    @contextlib.contextmanager
    def _image(self, snapshot: Snapshot) -> Iterator[int]:
        path: Path = contents.image(self._store.snapshots.place(snapshot))
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)


def written(image: int) -> Iterator[int]:
    """The offsets of the blocks in which there is something, in their order. Raises OSError."""
    at = 0
    while True:
        try:
            at = os.lseek(image, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            raise
        end = os.lseek(image, at, os.SEEK_HOLE)
        first = at - at % BLOCK_BYTES
        yield from range(first, end, BLOCK_BYTES)
        at = max(end, -(-end // BLOCK_BYTES) * BLOCK_BYTES)


def changed(old: int, new: int) -> Iterator[int]:
    """The offsets of the blocks that are not the same in both, in their order. Raises OSError."""
    for block in sorted({*written(old), *written(new)}):
        if os.pread(old, BLOCK_BYTES, block).rstrip(b"\0") != os.pread(new, BLOCK_BYTES, block).rstrip(b"\0"):
            yield block


def asked_for(blocks: Iterable[int], offset: int, *, end: int) -> list[int]:
    """Those in which there is something from `offset` on and before `end`: the other snapshot may be the larger one.

    Raises OutOfRange.
    """
    if not 0 <= offset <= end:
        raise errors.OutOfRange(f"starting_offset: the snapshot has {end} bytes")
    return [block for block in blocks if block < end and offset < min(block + BLOCK_BYTES, end)]


def messages(blocks: Sequence[int], most: int, *, end: int) -> Iterator[list[csi.BlockMetadata]]:
    """What goes into each message, `most` at most (0: as many as are good); one at least, which says the size if nothing else."""
    each = min(most or _MOST_RESULTS, _MOST_RESULTS)
    for at in range(0, max(len(blocks), 1), each):
        yield [
            csi.BlockMetadata(byte_offset=block, size_bytes=min(BLOCK_BYTES, end - block))
            for block in blocks[at : at + each]
        ]
