"""Faults of ControllerPublishVolume and ControllerUnpublishVolume."""

import contextlib
import secrets
from dataclasses import replace
from typing import Any

from csi import errors
from proto import csi_pb2 as csi
from tests.mutants.csi.driver import Mutant, instead


class UnknownIsAttached(Mutant):
    """A volume that is not there is attached."""

    caught_by = "C30"
    form = "attach"

    async def controller_publish_volume(self, request: Any) -> Any:
        with contextlib.suppress(errors.NotFound):
            return await self.healthy.controller_publish_volume(request)
        return csi.ControllerPublishVolumeResponse()


class NoNodeIsAttachedTo(Mutant):
    """Without a node's id a volume is attached to some node."""

    caught_by = "C29"
    form = "attach"

    async def controller_publish_volume(self, request: Any) -> Any:
        request.node_id = request.node_id or self.settings.node_id
        return await self.healthy.controller_publish_volume(request)


class NodeNotLookedAt(Mutant):
    """A volume is attached to a node that is not there."""

    caught_by = "C30"
    form = "attach"

    async def controller_publish_volume(self, request: Any) -> Any:
        request.node_id = request.node_id and self.settings.node_id
        return await self.healthy.controller_publish_volume(request)


class AnotherDeviceEachTime(Mutant):
    """publish_context is another each time that ControllerPublishVolume is asked."""

    caught_by = "C31"
    form = "attach"

    async def controller_publish_volume(self, request: Any) -> Any:
        answer = await self.healthy.controller_publish_volume(request)
        answer.publish_context["device"] = secrets.token_hex(4)
        return answer


class AttachedIsAlreadyThere(Mutant):
    """ControllerPublishVolume of what is attached is ALREADY_EXISTS."""

    caught_by = "C31"
    form = "attach"

    async def controller_publish_volume(self, request: Any) -> Any:
        volume = self.store.volumes.get(request.volume_id)
        if volume is not None and request.node_id in volume.attached:
            raise errors.AlreadyExists("it is attached")
        return await self.healthy.controller_publish_volume(request)


class ReadonlyNotCompared(Mutant):
    """What is attached with another readonly is OK."""

    caught_by = "C32"
    form = "attach"

    async def controller_publish_volume(self, request: Any) -> Any:
        with contextlib.suppress(errors.AlreadyExists):
            return await self.healthy.controller_publish_volume(request)
        return csi.ControllerPublishVolumeResponse()


class DetachedIsNotFound(Mutant):
    """ControllerUnpublishVolume of what is not attached is NOT_FOUND."""

    caught_by = "C35"
    form = "attach"

    async def controller_unpublish_volume(self, request: Any) -> Any:
        volume = self.store.volumes.get(request.volume_id)
        if volume is not None and request.node_id not in volume.attached:
            raise errors.NotFound("it is not attached")
        return await self.healthy.controller_unpublish_volume(request)


class DetachingGoneIsInternal(Mutant):
    """ControllerUnpublishVolume of a volume that is not there is INTERNAL."""

    caught_by = "C36"
    form = "attach"

    async def controller_unpublish_volume(self, request: Any) -> Any:
        if request.volume_id and self.store.volumes.get(request.volume_id) is None:
            raise errors.DriverFault("list index out of range")
        return await self.healthy.controller_unpublish_volume(request)


class DetachNeedsANode(Mutant):
    """ControllerUnpublishVolume without a node detaches from none."""

    caught_by = "C37"
    form = "attach"

    async def controller_unpublish_volume(self, request: Any) -> Any:
        request.node_id = request.node_id or "none"
        return await self.healthy.controller_unpublish_volume(request)


class DetachedStaysAttached(Mutant):
    """ControllerUnpublishVolume is OK and the volume stays attached."""

    caught_by = "C42"
    also = ("C37",)
    form = "attach"

    async def controller_unpublish_volume(self, request: Any) -> Any:
        before = self.store.volumes.get(request.volume_id)
        answer = await self.healthy.controller_unpublish_volume(request)
        if before is not None:
            self.store.volumes.update(replace(before))
        return answer

    async def delete_volume(self, request: Any) -> Any:
        if (volume := self.store.volumes.get(request.volume_id)) is not None:
            self.store.volumes.update(replace(volume, attached={}))
        return await self.healthy.delete_volume(request)


class OnTwoNodes(Mutant):
    """A volume for a single node is attached to a second one."""

    caught_by = "C33"
    form = "attach"

    async def controller_publish_volume(self, request: Any) -> Any:
        if request.node_id in self.settings.other_nodes:
            return csi.ControllerPublishVolumeResponse()
        return await self.healthy.controller_publish_volume(request)


class LimitIsNotKept(Mutant):
    """The node takes more than max_volumes_per_node."""

    caught_by = "C34"
    form = "attach"

    async def node_get_info(self, request: Any) -> Any:
        answer = await self.healthy.node_get_info(request)
        answer.max_volumes_per_node = 2
        return answer


class FullIsInternal(Mutant):
    """One volume more than max_volumes_per_node is INTERNAL instead of RESOURCE_EXHAUSTED."""

    caught_by = "C34"
    form = "attach"

    async def controller_publish_volume(self, request: Any) -> Any:
        with instead(errors.DriverFault, errors.Exhausted):
            return await self.healthy.controller_publish_volume(request)
