"""Faults of the SnapshotMetadata service. A call's answer is all of its messages."""

from typing import Any

from csi import errors
from tests.mutants.csi.driver import Mutant, instead


class MetadataOfNothingIsInternal(Mutant):
    """GetMetadataAllocated of a snapshot that is not there is INTERNAL."""

    caught_by = "D1"
    form = "attach"

    async def get_metadata_allocated(self, request: Any) -> Any:
        with instead(errors.DriverFault, errors.NotFound):
            return await self.healthy.get_metadata_allocated(request)


class OffsetBeyondIsEmpty(Mutant):
    """GetMetadataAllocated from beyond the end is an answer without blocks."""

    caught_by = "D2"
    form = "attach"

    async def get_metadata_allocated(self, request: Any) -> Any:
        snapshot = self.store.snapshots.get(request.snapshot_id)
        request.starting_offset = min(request.starting_offset, snapshot.size_bytes if snapshot else 0)
        return await self.healthy.get_metadata_allocated(request)


class MostIsNotLookedAt(Mutant):
    """GetMetadataAllocated has more blocks in a message than max_results."""

    caught_by = "D3"
    form = "attach"

    async def get_metadata_allocated(self, request: Any) -> Any:
        request.max_results = 0
        return await self.healthy.get_metadata_allocated(request)


class BlocksDescend(Mutant):
    """The messages of GetMetadataAllocated come in the wrong order."""

    caught_by = "D3"
    form = "attach"

    async def get_metadata_allocated(self, request: Any) -> Any:
        return reversed(list(await self.healthy.get_metadata_allocated(request)))


class DeltaFromTheOther(Mutant):
    """GetMetadataDelta compares the base with itself: nothing has changed, ever."""

    caught_by = "D4"
    form = "attach"

    async def get_metadata_delta(self, request: Any) -> Any:
        if request.target_snapshot_id and self.store.snapshots.get(request.target_snapshot_id):
            request.target_snapshot_id = request.base_snapshot_id
        return await self.healthy.get_metadata_delta(request)
