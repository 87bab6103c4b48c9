"""The GroupController service: snapshots of several volumes as they are at one moment, which stay and go together."""

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from csi import errors
from csi.driver import checks
from csi.driver.copies import Copies
from csi.driver.locks import Locks
from csi.driver.records import Group, Snapshot
from csi.driver.snapshots import MAX_SNAPSHOTS, message_of, timestamp
from csi.driver.store import Store
from csi.values import GroupControllerCapability
from proto import csi_pb2 as csi
from runtimes.linux.tasks import run_blocking

_MAX_MEMBERS = 100


class GroupService:
    """`locks`: by group id, by "group NAME" for what is to be made, by volume id shared with the others."""

    def __init__(self, store: Store, locks: Locks, copies: Copies) -> None:
        self._store = store
        self._locks = locks
        self._copies = copies

    async def group_controller_get_capabilities(
        self, _request: csi.GroupControllerGetCapabilitiesRequest
    ) -> csi.GroupControllerGetCapabilitiesResponse:
        answer = csi.GroupControllerGetCapabilitiesResponse()
        for each in GroupControllerCapability:
            answer.capabilities.add(rpc=csi.GroupControllerServiceCapability.RPC(type=each.name))
        return answer

    async def create_volume_group_snapshot(
        self, request: csi.CreateVolumeGroupSnapshotRequest
    ) -> csi.CreateVolumeGroupSnapshotResponse:
        name, sources = checks.name(request.name), tuple(request.source_volume_ids)
        if not sources or len(sources) > _MAX_MEMBERS or len(set(sources)) < len(sources) or not all(sources):
            raise errors.InvalidArgument(f"source_volume_ids: one to {_MAX_MEMBERS} different volumes")
        if request.parameters:
            raise errors.InvalidArgument("parameters: groups have none")
        async with self._locks.of(f"group {name}"):
            if (existing := self._store.groups.named(name)) is None:
                existing = await self._make(name, sources)
            elif {each.source_volume_id for each in self._members(existing)} != set(sources):
                raise errors.AlreadyExists("a group of that name is of other volumes")
        return csi.CreateVolumeGroupSnapshotResponse(group_snapshot=self._message(existing))

    async def _make(self, name: str, sources: Sequence[str]) -> Group:
        """The group's own record is written last: until then its members are of no group, and go with the process."""
        origins = [self._copies.of_volume(source) for source in sources]
        if len(self._store.snapshots.all()) + len(origins) > MAX_SNAPSHOTS:
            raise errors.Exhausted(f"there are {len(self._store.snapshots.all())} snapshots already")
        group = Group(group_id=self._store.groups.new_id(), name=name, snapshot_ids=(), created_ns=time.time_ns())
        members: list[Snapshot] = []
        async with contextlib.AsyncExitStack() as drafts:
            folders = [await drafts.enter_async_context(self._store.snapshots.draft()) for _ in origins]
            await self._copies.copy_together(list(zip(origins, folders, strict=True)))
            try:
                for origin, folder in zip(origins, folders, strict=True):
                    identity = self._store.snapshots.new_id()
                    member = Snapshot(
                        snapshot_id=identity,
                        name=f"{group.id}/{identity}",
                        source_volume_id=origin.volume_id,
                        size_bytes=origin.size_bytes,
                        created_ns=group.created_ns,
                        backing=origin.backing,
                        block=origin.block,
                        fs_type=origin.fs_type,
                        group_id=group.id,
                    )
                    await run_blocking(self._store.snapshots.add, member, folder)
                    members.append(member)
                group = replace(group, snapshot_ids=tuple(each.id for each in members))
                async with self._store.groups.draft() as draft:
                    await run_blocking(self._store.groups.add, group, draft)
            except OSError:
                await run_blocking(self._remove, members)
                raise
        return group

    async def delete_volume_group_snapshot(
        self, request: csi.DeleteVolumeGroupSnapshotRequest
    ) -> csi.DeleteVolumeGroupSnapshotResponse:
        identity = checks.required(request.group_snapshot_id, "group_snapshot_id")
        async with self._locks.of(identity):
            if (group := self._store.groups.get(identity)) is not None:
                _check_members(group, request.snapshot_ids)
                members = self._members(group)
                await run_blocking(self._store.groups.remove, group)
                await run_blocking(self._remove, members)
        return csi.DeleteVolumeGroupSnapshotResponse()

    async def get_volume_group_snapshot(
        self, request: csi.GetVolumeGroupSnapshotRequest
    ) -> csi.GetVolumeGroupSnapshotResponse:
        group = self._store.groups.known(checks.required(request.group_snapshot_id, "group_snapshot_id"))
        _check_members(group, request.snapshot_ids)
        return csi.GetVolumeGroupSnapshotResponse(group_snapshot=self._message(group))

    def _members(self, group: Group) -> list[Snapshot]:
        return [self._store.snapshots.known(each) for each in group.snapshot_ids]

    def _remove(self, members: Iterable[Snapshot]) -> None:
        for each in members:
            self._store.snapshots.remove(each)

    def _message(self, group: Group) -> csi.VolumeGroupSnapshot:
        return csi.VolumeGroupSnapshot(
            group_snapshot_id=group.id,
            snapshots=[message_of(each) for each in self._members(group)],
            creation_time=timestamp(group.created_ns),
            ready_to_use=True,
        )


def _check_members(group: Group, given: Sequence[str]) -> None:
    """Who names the members names them all. Raises InvalidArgument."""
    if given and set(given) != set(group.snapshot_ids):
        raise errors.InvalidArgument("snapshot_ids: they are not those of the group")
