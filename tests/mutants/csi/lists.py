"""Faults of ListVolumes, ControllerGetVolume and GetCapacity."""

from typing import Any

from typing_extensions import override

from csi import errors
from proto import csi_pb2 as csi
from tests.mutants.csi.driver import Mutant, instead


class ListIsOld(Mutant):
    """ListVolumes comes from a cache: what was made since it was last asked is not in it."""

    caught_by = "C38"
    also = ("C42",)
    form = "attach"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.cached = csi.ListVolumesResponse()

    async def list_volumes(self, request: Any) -> Any:
        answer, self.cached = self.cached, await self.healthy.list_volumes(request)
        return answer


class DeletedIsListed(Mutant):
    """ListVolumes still has volumes that were deleted."""

    caught_by = "C38"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.deleted: list[str] = []

    async def delete_volume(self, request: Any) -> Any:
        self.deleted.append(request.volume_id)
        return await self.healthy.delete_volume(request)

    async def list_volumes(self, request: Any) -> Any:
        answer = await self.healthy.list_volumes(request)
        for identity in self.deleted:
            answer.entries.add(volume=csi.Volume(volume_id=identity))
        return answer


class EntryWithoutId(Mutant):
    """ListVolumes has an entry without an id."""

    caught_by = "C38"

    async def list_volumes(self, request: Any) -> Any:
        answer = await self.healthy.list_volumes(request)
        answer.entries.add(volume=csi.Volume(capacity_bytes=1))
        return answer


class MaxEntriesIgnored(Mutant):
    """ListVolumes answers with all volumes, whatever max_entries is."""

    caught_by = "C40"

    async def list_volumes(self, request: Any) -> Any:
        request.max_entries = min(0, request.max_entries)
        return await self.healthy.list_volumes(request)


class StartingTokenIgnored(Mutant):
    """ListVolumes always begins with the first page."""

    caught_by = "C40"
    also = ("C41",)

    async def list_volumes(self, request: Any) -> Any:
        request.starting_token = ""
        return await self.healthy.list_volumes(request)


class PagesOverlap(Mutant):
    """The last volume of a page of ListVolumes is the first of the next."""

    caught_by = "C40"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.last: list[Any] = []

    async def list_volumes(self, request: Any) -> Any:
        answer = await self.healthy.list_volumes(request)
        entries = [*(self.last if request.starting_token else []), *answer.entries]
        self.last = entries[-1:]
        return csi.ListVolumesResponse(entries=entries[: request.max_entries or None], next_token=answer.next_token)


class AnyToken(Mutant):
    """A token that the driver never gave is taken for the first page."""

    caught_by = "C41"

    async def list_volumes(self, request: Any) -> Any:
        if request.starting_token.startswith("csitest"):
            request.starting_token = ""
        return await self.healthy.list_volumes(request)


class PublishedNodesForgotten(Mutant):
    """ListVolumes does not say where volumes are attached, though LIST_VOLUMES_PUBLISHED_NODES is claimed."""

    caught_by = "C42"
    form = "attach"

    async def list_volumes(self, request: Any) -> Any:
        answer = await self.healthy.list_volumes(request)
        for entry in answer.entries:
            entry.ClearField("status")
        return answer


class GetUnknownIsInternal(Mutant):
    """ControllerGetVolume of a volume that is not there is INTERNAL."""

    caught_by = "C43"

    async def controller_get_volume(self, request: Any) -> Any:
        with instead(errors.DriverFault, errors.NotFound):
            return await self.healthy.controller_get_volume(request)


class LessThanNoRoom(Mutant):
    """GetCapacity subtracts too much, and is negative."""

    caught_by = "C44"

    async def get_capacity(self, request: Any) -> Any:
        answer = await self.healthy.get_capacity(request)
        answer.available_capacity = -1
        return answer


class RoomForAll(Mutant):
    """GetCapacity does not look at the topology that it is asked about."""

    caught_by = "C44B"

    async def get_capacity(self, request: Any) -> Any:
        request.ClearField("accessible_topology")
        return await self.healthy.get_capacity(request)
