"""Faults of snapshots, and of volumes that are made of them."""

import contextlib
import secrets
import time
from typing import Any

from csi import errors
from csi.driver import contents
from csi.driver.snapshots import timestamp
from proto import csi_pb2 as csi
from runtimes.linux.removal import remove_tree
from tests.mutants.csi.driver import Mutant, instead


class NamelessSnapshot(Mutant):
    """A snapshot without a name is taken."""

    caught_by = "S1"

    async def create_snapshot(self, request: Any) -> Any:
        request.name = request.name or secrets.token_hex(8)
        return await self.healthy.create_snapshot(request)


class SnapshotOfNothing(Mutant):
    """A snapshot of a volume that is not there is INTERNAL instead of NOT_FOUND."""

    caught_by = "S2"

    async def create_snapshot(self, request: Any) -> Any:
        with instead(errors.DriverFault, errors.NotFound):
            return await self.healthy.create_snapshot(request)


class EachTimeAnotherSnapshot(Mutant):
    """CreateSnapshot takes another snapshot each time."""

    caught_by = "S3"
    also = ("S4",)

    async def create_snapshot(self, request: Any) -> Any:
        request.name = f"{request.name[:64]}{secrets.token_hex(8)}" if request.name else ""
        return await self.healthy.create_snapshot(request)


class CreatedNow(Mutant):
    """creation_time is when the answer was made, not the snapshot."""

    caught_by = "S3"

    async def create_snapshot(self, request: Any) -> Any:
        answer = await self.healthy.create_snapshot(request)
        answer.snapshot.creation_time.CopyFrom(timestamp(time.time_ns()))
        return answer


class SnapshotOfAnother(Mutant):
    """A name that is taken is answered with its snapshot, whatever volume is asked for."""

    caught_by = "S4"

    async def create_snapshot(self, request: Any) -> Any:
        if existing := self.store.snapshots.named(request.name):
            request.source_volume_id = existing.source_volume_id
        return await self.healthy.create_snapshot(request)


class ShortSnapshotNames(Mutant):
    """Names of snapshots of more than 63 characters are refused."""

    caught_by = "S5"

    async def create_snapshot(self, request: Any) -> Any:
        if len(request.name) > 63:
            raise errors.InvalidArgument("the name is too long")
        return await self.healthy.create_snapshot(request)


class DeletingUnknownSnapshot(Mutant):
    """DeleteSnapshot of a snapshot that is not there is NOT_FOUND."""

    caught_by = "S8"

    async def delete_snapshot(self, request: Any) -> Any:
        if request.snapshot_id:
            self.store.snapshots.known(request.snapshot_id)
        return await self.healthy.delete_snapshot(request)


class SourceFilterIgnored(Mutant):
    """ListSnapshots by source_volume_id has the snapshots of all volumes."""

    caught_by = "S11"

    async def list_snapshots(self, request: Any) -> Any:
        request.source_volume_id = ""
        return await self.healthy.list_snapshots(request)


class ListingUnknownIsNotFound(Mutant):
    """ListSnapshots by the id of a snapshot that is not there is NOT_FOUND instead of an empty list."""

    caught_by = "S11"

    async def list_snapshots(self, request: Any) -> Any:
        if request.snapshot_id:
            self.store.snapshots.known(request.snapshot_id)
        return await self.healthy.list_snapshots(request)


class SnapshotPageTooLong(Mutant):
    """ListSnapshots has one more than max_entries."""

    caught_by = "S13"

    async def list_snapshots(self, request: Any) -> Any:
        request.max_entries += request.max_entries > 0
        return await self.healthy.list_snapshots(request)


class SnapshotTokenIgnored(Mutant):
    """ListSnapshots always begins with the first page."""

    caught_by = "S13"
    also = ("S14",)

    async def list_snapshots(self, request: Any) -> Any:
        request.starting_token = ""
        return await self.healthy.list_snapshots(request)


class AnySnapshotToken(Mutant):
    """A token that ListSnapshots never gave is INVALID_ARGUMENT instead of ABORTED."""

    caught_by = "S14"

    async def list_snapshots(self, request: Any) -> Any:
        with instead(errors.InvalidArgument, errors.Pending):
            return await self.healthy.list_snapshots(request)


class GettingUnknownIsEmpty(Mutant):
    """GetSnapshot of a snapshot that is not there is an empty answer."""

    caught_by = "S15"
    form = "attach"

    async def get_snapshot(self, request: Any) -> Any:
        with contextlib.suppress(errors.NotFound):
            return await self.healthy.get_snapshot(request)
        return csi.GetSnapshotResponse()


class NeverReadyToUse(Mutant):
    """A snapshot is never ready_to_use."""

    caught_by = "S16"
    also = ("C15", "C24")
    asked = {"patience_seconds": 1.5}

    async def create_snapshot(self, request: Any) -> Any:
        answer = await self.healthy.create_snapshot(request)
        answer.snapshot.ready_to_use = False
        return answer

    async def list_snapshots(self, request: Any) -> Any:
        answer = await self.healthy.list_snapshots(request)
        for entry in answer.entries:
            entry.snapshot.ready_to_use = False
        return answer


class SnapshotFollows(Mutant):
    """A volume made of a snapshot has what the snapshot's volume has by then."""

    caught_by = "S16"
    also = ("C24",)

    async def create_volume(self, request: Any) -> Any:
        snapshot = self.store.snapshots.get(request.volume_content_source.snapshot.snapshot_id)
        if snapshot is not None:
            request.volume_content_source.volume.volume_id = snapshot.source_volume_id
        return await self.healthy.create_volume(request)


class RestoredEmpty(Mutant):
    """A volume made of a snapshot is empty."""

    caught_by = "S16"
    also = ("C24", "G5")

    async def create_volume(self, request: Any) -> Any:
        answer = await self.healthy.create_volume(request)
        if request.volume_content_source.HasField("snapshot"):
            volume = self.store.volumes.known(answer.volume.volume_id)
            place = contents.data(self.store.volumes.place(volume))
            remove_tree(place)
            place.mkdir(mode=0o777)
        return answer


class SnapshotsGoWithTheVolume(Mutant):
    """DeleteVolume deletes the volume's snapshots too."""

    caught_by = "C24"

    async def delete_volume(self, request: Any) -> Any:
        for each in self.store.snapshots.all():
            if each.source_volume_id == request.volume_id:
                self.store.snapshots.remove(each)
        return await self.healthy.delete_volume(request)


class SmallerThanItsSnapshot(Mutant):
    """A volume that is to be smaller than its snapshot is made, larger than what is allowed."""

    caught_by = "C15"

    async def create_volume(self, request: Any) -> Any:
        if request.volume_content_source.HasField("snapshot"):
            request.ClearField("capacity_range")
        return await self.healthy.create_volume(request)


class SnapshotMissingIsEmpty(Mutant):
    """A volume of a snapshot that is not there is an empty one."""

    caught_by = "C15"

    async def create_volume(self, request: Any) -> Any:
        snapshot = request.volume_content_source.snapshot.snapshot_id
        if snapshot and self.store.snapshots.get(snapshot) is None:
            request.ClearField("volume_content_source")
        return await self.healthy.create_volume(request)


class TakesItsVolumesWithIt(Mutant):
    """DeleteSnapshot empties the volumes that were made of it."""

    caught_by = "S9"

    async def delete_snapshot(self, request: Any) -> Any:
        for volume in self.store.volumes.all():
            if volume.source == ("snapshot", request.snapshot_id):
                for path in contents.data(self.store.volumes.place(volume)).glob("*"):
                    path.unlink()
        return await self.healthy.delete_snapshot(request)


class ListsOnlyWhatIsAskedFor(Mutant):
    """ListSnapshots without a filter is empty."""

    caught_by = "S11B"

    async def list_snapshots(self, request: Any) -> Any:
        answer = await self.healthy.list_snapshots(request)
        return answer if request.snapshot_id or request.source_volume_id else csi.ListSnapshotsResponse()
