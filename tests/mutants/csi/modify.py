"""Faults of mutable parameters."""

from typing import Any

from csi import errors
from tests.mutants.csi.driver import Mutant, instead


class AnyParameterIsModified(Mutant):
    """ControllerModifyVolume takes a parameter that is none."""

    caught_by = "C45"

    async def controller_modify_volume(self, request: Any) -> Any:
        request.mutable_parameters.pop("csitest-no-such-parameter", None)
        return await self.healthy.controller_modify_volume(request)


class ModifyingUnknownIsInternal(Mutant):
    """ControllerModifyVolume of a volume that is not there is INTERNAL."""

    caught_by = "C45"

    async def controller_modify_volume(self, request: Any) -> Any:
        with instead(errors.DriverFault, errors.NotFound):
            return await self.healthy.controller_modify_volume(request)


class ModifiedIsAlreadySo(Mutant):
    """ControllerModifyVolume to what the volume has already is ALREADY_EXISTS."""

    caught_by = "C46"

    async def controller_modify_volume(self, request: Any) -> Any:
        volume = self.store.volumes.get(request.volume_id)
        if volume and request.mutable_parameters and dict(volume.mutable) == dict(request.mutable_parameters):
            raise errors.AlreadyExists("it is so")
        return await self.healthy.controller_modify_volume(request)


class ModifyWantsItUnused(Mutant):
    """ControllerModifyVolume of a volume in use is UNAVAILABLE for ever."""

    caught_by = "C46"

    async def controller_modify_volume(self, request: Any) -> Any:
        if self.store.node.of(request.volume_id).targets:
            raise errors.Unavailable("the volume is in use")
        return await self.healthy.controller_modify_volume(request)


class AnyParameterIsMadeWith(Mutant):
    """CreateVolume takes a mutable parameter that is none."""

    caught_by = "C19"

    async def create_volume(self, request: Any) -> Any:
        request.mutable_parameters.pop("csitest-no-such-parameter", None)
        return await self.healthy.create_volume(request)
