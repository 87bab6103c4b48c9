"""The Controller service, for snapshots: full copies, which depend on nothing."""

import time

from google.protobuf.timestamp_pb2 import Timestamp

from csi import errors
from csi.driver import checks
from csi.driver.copies import Copies
from csi.driver.locks import Locks
from csi.driver.pages import page
from csi.driver.records import Snapshot
from csi.driver.settings import Settings
from csi.driver.store import Store
from proto import csi_pb2 as csi
from runtimes.linux.tasks import run_blocking

MAX_SNAPSHOTS = 10_000


class SnapshotService:
    """`locks`: by snapshot id, by "snapshot NAME" for what is to be made."""

    def __init__(self, settings: Settings, store: Store, locks: Locks, copies: Copies) -> None:
        self._settings = settings
        self._store = store
        self._locks = locks
        self._copies = copies

    async def create_snapshot(self, request: csi.CreateSnapshotRequest) -> csi.CreateSnapshotResponse:
        name = checks.name(request.name)
        source = checks.required(request.source_volume_id, "source_volume_id")
        if request.parameters:
            raise errors.InvalidArgument("parameters: snapshots have none")
        async with self._locks.of(f"snapshot {name}"):
            if (existing := self._store.snapshots.named(name)) is None:
                existing = await self._make(name, source)
            elif existing.source_volume_id != source:
                raise errors.AlreadyExists("a snapshot of that name is of another volume")
        return csi.CreateSnapshotResponse(snapshot=message_of(existing))

    async def _make(self, name: str, source: str) -> Snapshot:
        origin = self._copies.of_volume(source)
        if len(self._store.snapshots.all()) >= MAX_SNAPSHOTS:
            raise errors.Exhausted(f"there are {MAX_SNAPSHOTS} snapshots already")
        snapshot = Snapshot(
            snapshot_id=self._store.snapshots.new_id(),
            name=name,
            source_volume_id=source,
            size_bytes=origin.size_bytes,
            created_ns=time.time_ns(),
            backing=origin.backing,
            block=origin.block,
            fs_type=origin.fs_type,
        )
        async with self._store.snapshots.draft() as draft:
            await self._copies.copy(origin, draft, size=origin.size_bytes)
            await run_blocking(self._store.snapshots.add, snapshot, draft)
        return snapshot

    async def delete_snapshot(self, request: csi.DeleteSnapshotRequest) -> csi.DeleteSnapshotResponse:
        checks.required(request.snapshot_id, "snapshot_id")
        async with self._locks.of(request.snapshot_id):
            if (snapshot := self._store.snapshots.get(request.snapshot_id)) is not None:
                if snapshot.group_id:
                    raise errors.InvalidArgument(f"the snapshot is one of group {snapshot.group_id}, and goes with it")
                await run_blocking(self._store.snapshots.remove, snapshot)
        return csi.DeleteSnapshotResponse()

    async def list_snapshots(self, request: csi.ListSnapshotsRequest) -> csi.ListSnapshotsResponse:
        chosen = [
            snapshot
            for snapshot in self._store.snapshots.all()
            if request.snapshot_id in ("", snapshot.id) and request.source_volume_id in ("", snapshot.source_volume_id)
        ]
        snapshots, token = page(chosen, request.max_entries, request.starting_token)
        answer = csi.ListSnapshotsResponse(next_token=token)
        for snapshot in snapshots:
            answer.entries.add(snapshot=message_of(snapshot))
        return answer

    async def get_snapshot(self, request: csi.GetSnapshotRequest) -> csi.GetSnapshotResponse:
        if not self._settings.alpha:
            raise errors.NotSupported("GET_SNAPSHOT is not claimed")
        snapshot = self._store.snapshots.known(checks.required(request.snapshot_id, "snapshot_id"))
        return csi.GetSnapshotResponse(snapshot=message_of(snapshot))


def timestamp(nanoseconds: int) -> Timestamp:
    found = Timestamp()
    found.FromNanoseconds(nanoseconds)
    return found


def message_of(snapshot: Snapshot) -> csi.Snapshot:
    return csi.Snapshot(
        snapshot_id=snapshot.id,
        source_volume_id=snapshot.source_volume_id,
        size_bytes=snapshot.size_bytes,
        creation_time=timestamp(snapshot.created_ns),
        ready_to_use=True,
        group_snapshot_id=snapshot.group_id,
    )
