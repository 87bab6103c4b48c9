"""Faults of growing."""

import contextlib
import os
from dataclasses import replace
from typing import Any

from csi import errors
from csi.driver import contents, publication
from proto import csi_pb2 as csi
from tests.mutants.csi.driver import MEBIBYTE, Mutant, instead


def offline_alone(answer: Any) -> Any:
    """What the plugin claims, with OFFLINE expansion for ONLINE."""
    for each in answer.capabilities:
        if each.HasField("volume_expansion"):
            each.volume_expansion.type = csi.PluginCapability.VolumeExpansion.OFFLINE
    return answer


class GrowsWithoutASize(Mutant):
    """ControllerExpandVolume without a size is OK."""

    caught_by = "C47"

    async def controller_expand_volume(self, request: Any) -> Any:
        request.capacity_range.SetInParent()
        return await self.healthy.controller_expand_volume(request)


class GrowingUnknownIsInternal(Mutant):
    """ControllerExpandVolume of a volume that is not there is INTERNAL."""

    caught_by = "C47"

    async def controller_expand_volume(self, request: Any) -> Any:
        with instead(errors.DriverFault, errors.NotFound):
            return await self.healthy.controller_expand_volume(request)


class OldSizeIsTold(Mutant):
    """ControllerExpandVolume answers with the size from before."""

    caught_by = "C48"

    async def controller_expand_volume(self, request: Any) -> Any:
        before = self.store.volumes.get(request.volume_id)
        answer = await self.healthy.controller_expand_volume(request)
        answer.capacity_bytes = before.capacity_bytes if before else 0
        return answer


class GrowsEachTime(Mutant):
    """ControllerExpandVolume adds to the size each time that it is asked."""

    caught_by = "C48"

    async def controller_expand_volume(self, request: Any) -> Any:
        if (volume := self.store.volumes.get(request.volume_id)) and request.HasField("capacity_range"):
            request.capacity_range.required_bytes = max(
                request.capacity_range.required_bytes, volume.capacity_bytes + MEBIBYTE
            )
        return await self.healthy.controller_expand_volume(request)


class Shrinks(Mutant):
    """ControllerExpandVolume to less than the size makes the volume smaller."""

    caught_by = "C48"

    async def controller_expand_volume(self, request: Any) -> Any:
        answer = await self.healthy.controller_expand_volume(request)
        volume = self.store.volumes.known(request.volume_id)
        smaller = replace(volume, capacity_bytes=request.capacity_range.required_bytes)
        self.store.volumes.update(smaller)
        answer.capacity_bytes = smaller.capacity_bytes
        return answer


class BeyondIsInternal(Mutant):
    """Growing beyond all there is is INTERNAL instead of OUT_OF_RANGE."""

    caught_by = "C50"

    async def controller_expand_volume(self, request: Any) -> Any:
        with instead(errors.DriverFault, errors.OutOfRange):
            return await self.healthy.controller_expand_volume(request)


class RefusedAndGrown(Mutant):
    """Growing beyond all there is is refused after the new size was written down."""

    caught_by = "C50"

    async def controller_expand_volume(self, request: Any) -> Any:
        try:
            return await self.healthy.controller_expand_volume(request)
        except errors.OutOfRange:
            volume = self.store.volumes.known(request.volume_id)
            self.store.volumes.update(replace(volume, capacity_bytes=request.capacity_range.required_bytes))
            raise


class OfflineWhilePublished(Mutant):
    """OFFLINE expansion alone is claimed, and a published volume grows."""

    caught_by = "C51"
    control = "GrowsOffline"

    async def get_plugin_capabilities(self, request: Any) -> Any:
        return offline_alone(await self.healthy.get_plugin_capabilities(request))


class GrowingNothingOnTheNode(Mutant):
    """NodeExpandVolume of a volume that is not there is OK."""

    caught_by = "N25"

    async def node_expand_volume(self, request: Any) -> Any:
        with contextlib.suppress(errors.NotFound):
            return await self.healthy.node_expand_volume(request)
        return csi.NodeExpandVolumeResponse()


class FileSystemStays(Mutant):
    """The disk grows, the file system on it does not."""

    caught_by = "X11"
    form = "image"

    async def controller_expand_volume(self, request: Any) -> Any:
        answer = await self.healthy.controller_expand_volume(request)
        volume = self.store.volumes.known(request.volume_id)
        self.store.volumes.update(replace(volume, fs_behind=False))
        return answer


class OnlyTheRecordGrows(Mutant):
    """ControllerExpandVolume writes the new size down, and the device stays as it is."""

    caught_by = "X11B"

    async def controller_expand_volume(self, request: Any) -> Any:
        before = self.store.volumes.get(request.volume_id)
        answer = await self.healthy.controller_expand_volume(request)
        if before is not None and before.backing == "image":
            os.truncate(contents.image(self.store.volumes.place(before)), before.capacity_bytes)
        return answer


class GrownIsEmpty(Mutant):
    """What was in a volume is lost when it grows."""

    caught_by = "X11B"
    also = ("X11",)

    async def controller_expand_volume(self, request: Any) -> Any:
        answer = await self.healthy.controller_expand_volume(request)
        volume = self.store.volumes.known(request.volume_id)
        place = self.store.volumes.place(volume)
        if volume.backing == "image":
            os.truncate(contents.image(place), 0)
            os.truncate(contents.image(place), volume.capacity_bytes)
        for path in contents.data(place).glob("*"):
            path.unlink()
        return answer


class NotWhilePublished(Mutant):
    """ONLINE expansion is claimed, and growing a published volume is INTERNAL."""

    caught_by = "N27"
    form = "image"

    async def controller_expand_volume(self, request: Any) -> Any:
        if publication.live_targets(self.store.node.of(request.volume_id)):
            raise errors.DriverFault("resize2fs: device is busy")
        return await self.healthy.controller_expand_volume(request)
