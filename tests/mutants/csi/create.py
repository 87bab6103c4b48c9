"""Faults of CreateVolume, DeleteVolume and ValidateVolumeCapabilities."""

import contextlib
import secrets
from typing import Any

from typing_extensions import override

from csi import errors
from csi.driver import contents
from csi.values import AccessMode, mount_capability
from proto import csi_pb2 as csi
from runtimes.linux.removal import remove_tree
from tests.mutants.csi.driver import Meeting, Mutant, instead


class NamelessIsMade(Mutant):
    """A volume without a name is made."""

    caught_by = "C1"

    async def create_volume(self, request: Any) -> Any:
        request.name = request.name or secrets.token_hex(8)
        return await self.healthy.create_volume(request)


class NoCapabilityIsMade(Mutant):
    """A volume without capabilities is made."""

    caught_by = "C2"

    async def create_volume(self, request: Any) -> Any:
        if not request.volume_capabilities:
            request.volume_capabilities.append(mount_capability(AccessMode.SINGLE_NODE_WRITER))
        return await self.healthy.create_volume(request)


class NoAccessModeIsMade(Mutant):
    """Access mode UNKNOWN is taken for SINGLE_NODE_WRITER."""

    caught_by = "C3"

    async def create_volume(self, request: Any) -> Any:
        for each in request.volume_capabilities:
            each.access_mode.mode = each.access_mode.mode or AccessMode.SINGLE_NODE_WRITER
        return await self.healthy.create_volume(request)


class NoAccessTypeIsMade(Mutant):
    """A capability that is neither block nor mount is taken for a mount."""

    caught_by = "C3"

    async def create_volume(self, request: Any) -> Any:
        for each in request.volume_capabilities:
            if each.WhichOneof("access_type") is None:
                each.mount.SetInParent()
        return await self.healthy.create_volume(request)


class LongId(Mutant):
    """Ids of volumes have more than 128 bytes."""

    caught_by = "C4"

    async def create_volume(self, request: Any) -> Any:
        answer = await self.healthy.create_volume(request)
        answer.volume.volume_id += "x" * 100
        return answer

    async def delete_volume(self, request: Any) -> Any:
        request.volume_id = request.volume_id.rstrip("x")
        return await self.healthy.delete_volume(request)


class NoId(Mutant):
    """The answer has no volume_id."""

    caught_by = "C5"
    also = ("C4", "C8", "N12")

    async def create_volume(self, request: Any) -> Any:
        answer = await self.healthy.create_volume(request)
        answer.volume.volume_id = ""
        return answer


class TooSmall(Mutant):
    """The volume is smaller than what was required, as of a driver that rounds down."""

    caught_by = "C5"
    also = ("X3",)

    async def create_volume(self, request: Any) -> Any:
        request.capacity_range.required_bytes //= 2
        return await self.healthy.create_volume(request)


class LimitIgnored(Mutant):
    """limit_bytes is not looked at."""

    caught_by = "C6"

    async def create_volume(self, request: Any) -> Any:
        if request.capacity_range.required_bytes == 0:
            request.ClearField("capacity_range")
        return await self.healthy.create_volume(request)


class LimitBelowRequired(Mutant):
    """More is required than allowed, and a volume is made."""

    caught_by = "C7"

    async def create_volume(self, request: Any) -> Any:
        wanted = request.capacity_range
        wanted.limit_bytes = max(wanted.limit_bytes, wanted.required_bytes)
        return await self.healthy.create_volume(request)


class NegativeSize(Mutant):
    """A size of less than nothing is taken for none."""

    caught_by = "C7"

    async def create_volume(self, request: Any) -> Any:
        request.capacity_range.required_bytes = max(0, request.capacity_range.required_bytes)
        return await self.healthy.create_volume(request)


class EachTimeAnother(Mutant):
    """CreateVolume makes another volume each time: the name is not looked at."""

    caught_by = "C8"
    also = ("C20",)

    async def create_volume(self, request: Any) -> Any:
        request.name = f"{request.name[:64]}{secrets.token_hex(8)}" if request.name else ""
        return await self.healthy.create_volume(request)


class SecondTimeExists(Mutant):
    """The same request again is ALREADY_EXISTS."""

    caught_by = "C8"
    also = ("C9",)

    async def create_volume(self, request: Any) -> Any:
        if request.name and self.store.volumes.named(request.name):
            raise errors.AlreadyExists(f"{request.name} is there")
        return await self.healthy.create_volume(request)


class ContextOnlyOnce(Mutant):
    """volume_context comes with the first answer alone: whoever asks again has a volume that cannot be used."""

    caught_by = "C8"

    async def create_volume(self, request: Any) -> Any:
        there = self.store.volumes.named(request.name)
        answer = await self.healthy.create_volume(request)
        if there is None:
            answer.volume.volume_context["server"] = "here"
        return answer


class AnotherSizeIsTheSame(Mutant):
    """A name that is taken is answered with its volume, whatever size is asked for."""

    caught_by = "C9"

    async def create_volume(self, request: Any) -> Any:
        if self.store.volumes.named(request.name):
            request.ClearField("capacity_range")
        return await self.healthy.create_volume(request)


class TakenIsInternal(Mutant):
    """A name that is taken is INTERNAL instead of ALREADY_EXISTS."""

    caught_by = "C9"
    also = ("C10",)

    async def create_volume(self, request: Any) -> Any:
        with instead(errors.DriverFault, errors.AlreadyExists):
            return await self.healthy.create_volume(request)


class AnotherSourceIsTheSame(Mutant):
    """A name that is taken is answered with its volume, whatever that is to be a copy of."""

    caught_by = "C10"

    async def create_volume(self, request: Any) -> Any:
        if self.store.volumes.named(request.name):
            request.ClearField("volume_content_source")
        return await self.healthy.create_volume(request)


class ShortNames(Mutant):
    """Names of more than 63 characters are refused."""

    caught_by = "C11"

    async def create_volume(self, request: Any) -> Any:
        if len(request.name) > 63:
            raise errors.InvalidArgument("the name is too long")
        return await self.healthy.create_volume(request)


class ControlCharacters(Mutant):
    """A name with control characters is accepted."""

    caught_by = "C12"

    async def create_volume(self, request: Any) -> Any:
        request.name = request.name.encode("unicode_escape").decode()
        return await self.healthy.create_volume(request)


class AsciiOnly(Mutant):
    """A name that is not ASCII is refused."""

    caught_by = "C12B"

    async def create_volume(self, request: Any) -> Any:
        if not request.name.isascii():
            raise errors.InvalidArgument("the name is not ASCII")
        return await self.healthy.create_volume(request)


class EmptyClone(Mutant):
    """A clone has nothing of its source in it."""

    caught_by = "C13B"

    async def create_volume(self, request: Any) -> Any:
        made = request.volume_content_source.HasField("volume") and not self.store.volumes.named(request.name)
        answer = await self.healthy.create_volume(request)
        if made:
            volume = self.store.volumes.known(answer.volume.volume_id)
            place = contents.data(self.store.volumes.place(volume))
            remove_tree(place)
            place.mkdir(mode=0o777)
        return answer


class SourceNotTold(Mutant):
    """The answer does not say what the volume is a copy of."""

    caught_by = "C13"

    async def create_volume(self, request: Any) -> Any:
        answer = await self.healthy.create_volume(request)
        answer.volume.ClearField("content_source")
        return answer


class SourceMissingIsEmpty(Mutant):
    """A clone of a volume that is not there is an empty volume."""

    caught_by = "C13"

    async def create_volume(self, request: Any) -> Any:
        source = request.volume_content_source.volume.volume_id
        if source and self.store.volumes.get(source) is None:
            request.ClearField("volume_content_source")
        return await self.healthy.create_volume(request)


class AnywhereIsHere(Mutant):
    """The topology that is required is not looked at."""

    caught_by = "C17"

    async def create_volume(self, request: Any) -> Any:
        request.ClearField("accessibility_requirements")
        return await self.healthy.create_volume(request)


class SomewhereElse(Mutant):
    """accessible_topology is another than the one that was required."""

    caught_by = "C18"

    async def create_volume(self, request: Any) -> Any:
        answer = await self.healthy.create_volume(request)
        for topology in answer.volume.accessible_topology:
            for key in topology.segments:
                topology.segments[key] = "another-node"
        return answer


class RaceMakesTwo(Mutant):
    """The same request twice at the same time makes two volumes."""

    caught_by = "C20"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.meeting = Meeting()

    async def create_volume(self, request: Any) -> Any:
        async with self.meeting.of(request.name) as first:
            request.name += "" if first else "x"
            return await self.healthy.create_volume(request)


class RaceIsInternal(Mutant):
    """The second of two that ask for the same at the same time gets INTERNAL."""

    caught_by = "C20"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.meeting = Meeting()

    async def create_volume(self, request: Any) -> Any:
        async with self.meeting.of(request.name) as first:
            if not first:
                raise errors.DriverFault("UNIQUE constraint failed: volumes.name")
            return await self.healthy.create_volume(request)


class DeletingNothingIsOK(Mutant):
    """DeleteVolume without an id is OK."""

    caught_by = "C21"

    async def delete_volume(self, request: Any) -> Any:
        return await self.healthy.delete_volume(request) if request.volume_id else csi.DeleteVolumeResponse()


class DeletingUnknownIsNotFound(Mutant):
    """DeleteVolume of a volume that is not there is NOT_FOUND."""

    caught_by = "C21"
    also = ("C22",)

    async def delete_volume(self, request: Any) -> Any:
        if request.volume_id:
            self.store.volumes.known(request.volume_id)
        return await self.healthy.delete_volume(request)


class IdsOfOneForm(Mutant):
    """DeleteVolume of an id that has not the driver's own form is INVALID_ARGUMENT."""

    caught_by = "C21"

    async def delete_volume(self, request: Any) -> Any:
        if not request.volume_id.startswith("vol-"):
            raise errors.InvalidArgument(f"malformed id {request.volume_id}")
        return await self.healthy.delete_volume(request)


class DeletedIsThere(Mutant):
    """DeleteVolume is OK and deletes nothing."""

    caught_by = "C22"
    also = ("C38",)

    async def delete_volume(self, request: Any) -> Any:
        if not request.volume_id:
            raise errors.InvalidArgument("no volume_id")
        return csi.DeleteVolumeResponse()


class HalfDeleted(Mutant):
    """Deleting a volume in use is refused after its data has been removed."""

    caught_by = "C23"

    async def delete_volume(self, request: Any) -> Any:
        if (volume := self.store.volumes.get(request.volume_id)) is not None:
            for path in contents.data(self.store.volumes.place(volume)).glob("*"):
                path.unlink()
        return await self.healthy.delete_volume(request)


class InUseIsInternal(Mutant):
    """Deleting a volume in use is INTERNAL."""

    caught_by = "C23"

    async def delete_volume(self, request: Any) -> Any:
        with instead(errors.DriverFault, errors.WrongState):
            return await self.healthy.delete_volume(request)


class EverythingIsValid(Mutant):
    """ValidateVolumeCapabilities confirms a volume that is not there."""

    caught_by = "C26"
    also = ("C22",)

    async def validate_volume_capabilities(self, request: Any) -> Any:
        with contextlib.suppress(errors.NotFound):
            return await self.healthy.validate_volume_capabilities(request)
        return csi.ValidateVolumeCapabilitiesResponse()


class NothingIsValidated(Mutant):
    """ValidateVolumeCapabilities is OK for no capabilities."""

    caught_by = "C26"

    async def validate_volume_capabilities(self, request: Any) -> Any:
        if request.volume_id and not request.volume_capabilities:
            return csi.ValidateVolumeCapabilitiesResponse()
        return await self.healthy.validate_volume_capabilities(request)


class ConfirmedWithoutWhat(Mutant):
    """`confirmed` is there, and does not say which capabilities are."""

    caught_by = "C27"
    also = ("C28",)

    async def validate_volume_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.validate_volume_capabilities(request)
        if answer.HasField("confirmed"):
            answer.confirmed.ClearField("volume_capabilities")
        return answer


class UnsupportedIsAnError(Mutant):
    """An access mode that the driver has not is an error instead of an answer without `confirmed`."""

    caught_by = "C28"

    async def validate_volume_capabilities(self, request: Any) -> Any:
        for each in request.volume_capabilities:
            if each.access_mode.mode == AccessMode.MULTI_NODE_MULTI_WRITER:
                raise errors.InvalidArgument("no such mode")
        return await self.healthy.validate_volume_capabilities(request)
