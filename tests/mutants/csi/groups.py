"""Faults of snapshots of several volumes."""

import secrets
from typing import Any

from csi import errors
from proto import csi_pb2 as csi
from tests.mutants.csi.driver import Mutant, instead


class GroupOfNothing(Mutant):
    """A group of no volumes is taken."""

    caught_by = "G2"

    async def create_volume_group_snapshot(self, request: Any) -> Any:
        if request.name and not request.source_volume_ids:
            return csi.CreateVolumeGroupSnapshotResponse()
        return await self.healthy.create_volume_group_snapshot(request)


class EachTimeAnotherGroup(Mutant):
    """CreateVolumeGroupSnapshot takes another group each time."""

    caught_by = "G3"

    async def create_volume_group_snapshot(self, request: Any) -> Any:
        request.name = f"{request.name[:64]}{secrets.token_hex(8)}" if request.name else ""
        return await self.healthy.create_volume_group_snapshot(request)


class GroupOfOthers(Mutant):
    """A name that is taken is answered with its group, whatever volumes are asked for."""

    caught_by = "G3"

    async def create_volume_group_snapshot(self, request: Any) -> Any:
        if existing := self.store.groups.named(request.name):
            sources = [self.store.snapshots.known(each).source_volume_id for each in existing.snapshot_ids]
            request.source_volume_ids[:] = sources
        return await self.healthy.create_volume_group_snapshot(request)


class GroupIsPartial(Mutant):
    """A group has no snapshot of the last of its volumes."""

    caught_by = "G5"

    async def create_volume_group_snapshot(self, request: Any) -> Any:
        if len(request.source_volume_ids) > 1:
            del request.source_volume_ids[-1]
        return await self.healthy.create_volume_group_snapshot(request)


class MembersOfNoGroup(Mutant):
    """The snapshots of a group do not name it."""

    caught_by = "G5"

    async def create_volume_group_snapshot(self, request: Any) -> Any:
        answer = await self.healthy.create_volume_group_snapshot(request)
        for each in answer.group_snapshot.snapshots:
            each.group_snapshot_id = ""
        return answer


class DeletedByOtherMembers(Mutant):
    """DeleteVolumeGroupSnapshot does not compare the members that it is given."""

    caught_by = "G6"

    async def delete_volume_group_snapshot(self, request: Any) -> Any:
        del request.snapshot_ids[:]
        return await self.healthy.delete_volume_group_snapshot(request)


class DeletingUnknownGroup(Mutant):
    """DeleteVolumeGroupSnapshot of a group that is not there is NOT_FOUND."""

    caught_by = "G6"

    async def delete_volume_group_snapshot(self, request: Any) -> Any:
        if request.group_snapshot_id:
            self.store.groups.known(request.group_snapshot_id)
        return await self.healthy.delete_volume_group_snapshot(request)


class GetUnknownGroupIsInternal(Mutant):
    """GetVolumeGroupSnapshot of a group that is not there is INTERNAL."""

    caught_by = "G7"

    async def get_volume_group_snapshot(self, request: Any) -> Any:
        with instead(errors.DriverFault, errors.NotFound):
            return await self.healthy.get_volume_group_snapshot(request)


class MemberIsInternal(Mutant):
    """DeleteSnapshot of a member of a group is INTERNAL instead of INVALID_ARGUMENT."""

    caught_by = "S10"

    async def delete_snapshot(self, request: Any) -> Any:
        snapshot = self.store.snapshots.get(request.snapshot_id)
        if snapshot is not None and snapshot.group_id:
            raise errors.DriverFault("foreign key constraint")
        return await self.healthy.delete_snapshot(request)


class HalfAGroupIsLeft(Mutant):
    """A group that cannot be taken is refused, and one of its snapshots has been taken."""

    caught_by = "G4"

    async def create_volume_group_snapshot(self, request: Any) -> Any:
        try:
            return await self.healthy.create_volume_group_snapshot(request)
        except errors.WrongState:
            source = request.source_volume_ids[0]
            await self.healthy.create_snapshot(
                csi.CreateSnapshotRequest(name=secrets.token_hex(8), source_volume_id=source)
            )
            raise
