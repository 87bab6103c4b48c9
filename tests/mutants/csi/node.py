"""Faults of the Node service: info, stage and publish, and their counterparts."""

import contextlib
import itertools
import os
from pathlib import Path
from typing import Any

from typing_extensions import override

from csi import errors
from csi.driver import publication
from csi.values import AccessMode, mount_capability
from proto import csi_pb2 as csi
from runtimes.linux import mounts
from tests.mutants.csi.driver import Mutant, instead

WRITER = AccessMode.SINGLE_NODE_WRITER


class NoNodeId(Mutant):
    """The node's id is empty."""

    caught_by = "N1"

    async def node_get_info(self, _request: Any) -> Any:
        return csi.NodeGetInfoResponse()


class LongNodeId(Mutant):
    """The node's id has more than 256 bytes."""

    caught_by = "N1"

    async def node_get_info(self, _request: Any) -> Any:
        return csi.NodeGetInfoResponse(node_id="n" * 257)


class AnotherNodeId(Mutant):
    """The node's id is another each time."""

    caught_by = "N1"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.times = itertools.count()

    async def node_get_info(self, request: Any) -> Any:
        answer = await self.healthy.node_get_info(request)
        answer.node_id += str(next(self.times))
        return answer


class LessThanNoVolumes(Mutant):
    """max_volumes_per_node is -1, for no limit."""

    caught_by = "N1"

    async def node_get_info(self, request: Any) -> Any:
        answer = await self.healthy.node_get_info(request)
        answer.max_volumes_per_node = -1
        return answer


class NodeClaimUnknown(Mutant):
    """NodeGetCapabilities has an entry of type UNKNOWN."""

    caught_by = "N2"

    async def node_get_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.node_get_capabilities(request)
        answer.capabilities.add(rpc={"type": 0})
        return answer


class StagedWithoutCapability(Mutant):
    """NodeStageVolume without a capability is OK."""

    caught_by = "N3"

    async def node_stage_volume(self, request: Any) -> Any:
        if not request.HasField("volume_capability"):
            request.volume_capability.CopyFrom(mount_capability(WRITER))
        return await self.healthy.node_stage_volume(request)


class StagingUnknownIsInvalid(Mutant):
    """NodeStageVolume of a volume that is not there is INVALID_ARGUMENT."""

    caught_by = "N3B"

    async def node_stage_volume(self, request: Any) -> Any:
        with instead(errors.InvalidArgument, errors.NotFound):
            return await self.healthy.node_stage_volume(request)


class StagedTwice(Mutant):
    """NodeStageVolume mounts again what is mounted."""

    caught_by = "N4"

    async def node_stage_volume(self, request: Any) -> Any:
        path = Path(request.staging_target_path)
        mounted = mounts.is_mount_point(path)
        answer = await self.healthy.node_stage_volume(request)
        if mounted:
            mounts.bind_path(path, path)
        return answer


class StagedIsBusy(Mutant):
    """NodeStageVolume of what is staged is INTERNAL: mount(8) says that it is mounted already."""

    caught_by = "N4"
    also = ("N28",)

    async def node_stage_volume(self, request: Any) -> Any:
        if request.staging_target_path and mounts.is_mount_point(Path(request.staging_target_path)):
            raise errors.DriverFault("exit status 32: already mounted")
        return await self.healthy.node_stage_volume(request)


class StagedInAnyWay(Mutant):
    """What is staged is OK to be staged with another capability."""

    caught_by = "N5"

    async def node_stage_volume(self, request: Any) -> Any:
        with contextlib.suppress(errors.AlreadyExists, errors.WrongState):
            return await self.healthy.node_stage_volume(request)
        return csi.NodeStageVolumeResponse()


class UnstagedFromNowhere(Mutant):
    """NodeUnstageVolume without a path is OK."""

    caught_by = "N7"

    async def node_unstage_volume(self, request: Any) -> Any:
        if request.volume_id and not request.staging_target_path:
            return csi.NodeUnstageVolumeResponse()
        return await self.healthy.node_unstage_volume(request)


class NotStagedIsNotFound(Mutant):
    """NodeUnstageVolume of what is not staged is NOT_FOUND."""

    caught_by = "N8"
    also = ("N28",)

    async def node_unstage_volume(self, request: Any) -> Any:
        if request.volume_id and not self.store.node.of(request.volume_id).staging_path:
            raise errors.NotFound("it is not staged")
        return await self.healthy.node_unstage_volume(request)


class UnstagedStaysMounted(Mutant):
    """NodeUnstageVolume is OK and the volume stays mounted."""

    caught_by = "N8"

    async def node_unstage_volume(self, request: Any) -> Any:
        if not request.staging_target_path or not mounts.is_mount_point(Path(request.staging_target_path)):
            return await self.healthy.node_unstage_volume(request)
        return csi.NodeUnstageVolumeResponse()


class PublishedWithoutCapability(Mutant):
    """NodePublishVolume without a capability is OK."""

    caught_by = "N9"

    async def node_publish_volume(self, request: Any) -> Any:
        if not request.HasField("volume_capability"):
            request.volume_capability.CopyFrom(mount_capability(WRITER))
        return await self.healthy.node_publish_volume(request)


class NoVolumeIsNotFound(Mutant):
    """NodePublishVolume without an id is NOT_FOUND instead of INVALID_ARGUMENT."""

    caught_by = "N9"

    async def node_publish_volume(self, request: Any) -> Any:
        self.store.volumes.known(request.volume_id)
        return await self.healthy.node_publish_volume(request)


class StagesByItself(Mutant):
    """STAGE_UNSTAGE_VOLUME is claimed, and the staging path is not looked at."""

    caught_by = "N10"

    async def node_publish_volume(self, request: Any) -> Any:
        request.staging_target_path = self.store.node.of(request.volume_id).staging_path
        return await self.healthy.node_publish_volume(request)


class PublishingUnknownIsInternal(Mutant):
    """NodePublishVolume of a volume that is not there is INTERNAL."""

    caught_by = "N11"

    async def node_publish_volume(self, request: Any) -> Any:
        with instead(errors.DriverFault, errors.NotFound):
            return await self.healthy.node_publish_volume(request)


class TargetIsExpected(Mutant):
    """The target has to be there before NodePublishVolume."""

    caught_by = "N12"
    also = ("N13", "X1", "X3")

    async def node_publish_volume(self, request: Any) -> Any:
        if request.target_path and not Path(request.target_path).exists():
            raise errors.DriverFault(f"mount point {request.target_path} does not exist")
        return await self.healthy.node_publish_volume(request)


class NothingIsMounted(Mutant):
    """NodePublishVolume makes the target, says OK, and has mounted nothing."""

    caught_by = "N13"
    also = ("X1", "X4")

    async def node_publish_volume(self, request: Any) -> Any:
        answer = await self.healthy.node_publish_volume(request)
        mounts.unmount_all(Path(request.target_path))
        return answer


class PublishedTwice(Mutant):
    """NodePublishVolume mounts again what is mounted."""

    caught_by = "N13"
    also = ("N31", "X3B")

    async def node_publish_volume(self, request: Any) -> Any:
        path = Path(request.target_path)
        mounted = bool(request.target_path) and mounts.is_mount_point(path)
        answer = await self.healthy.node_publish_volume(request)
        if mounted:
            mounts.bind_path(path, path)
        return answer


class PublishedIsBusy(Mutant):
    """NodePublishVolume of what is published is INTERNAL."""

    caught_by = "N13"
    also = ("N14", "N28", "X3B")

    async def node_publish_volume(self, request: Any) -> Any:
        if request.target_path and mounts.is_mount_point(Path(request.target_path)):
            raise errors.DriverFault("exit status 32: already mounted")
        return await self.healthy.node_publish_volume(request)


class PublishedInAnyWay(Mutant):
    """What is published is OK to be published there with another readonly."""

    caught_by = "N14"

    async def node_publish_volume(self, request: Any) -> Any:
        with contextlib.suppress(errors.AlreadyExists):
            return await self.healthy.node_publish_volume(request)
        return csi.NodePublishVolumeResponse()


class TwoSingleWriters(Mutant):
    """SINGLE_NODE_SINGLE_WRITER is taken for SINGLE_NODE_MULTI_WRITER."""

    caught_by = "N16"

    async def node_publish_volume(self, request: Any) -> Any:
        mode = request.volume_capability.access_mode
        if mode.mode == AccessMode.SINGLE_NODE_SINGLE_WRITER:
            mode.mode = AccessMode.SINGLE_NODE_MULTI_WRITER
        return await self.healthy.node_publish_volume(request)


class OneTargetOnly(Mutant):
    """A second target of a volume for several writers is FAILED_PRECONDITION."""

    caught_by = "N17"

    async def node_publish_volume(self, request: Any) -> Any:
        live = publication.live_targets(self.store.node.of(request.volume_id))
        if live and request.target_path not in live:
            raise errors.WrongState("the volume is published already")
        return await self.healthy.node_publish_volume(request)


class FirstToGoTakesAll(Mutant):
    """NodeUnpublishVolume of one target unmounts all targets of the volume."""

    caught_by = "N17"

    async def node_unpublish_volume(self, request: Any) -> Any:
        for target in publication.live_targets(self.store.node.of(request.volume_id)):
            mounts.unmount_all(Path(target))
        return await self.healthy.node_unpublish_volume(request)


class AnyFileSystem(Mutant):
    """A file system that is none is OK."""

    caught_by = "N18"

    async def node_publish_volume(self, request: Any) -> Any:
        if request.volume_capability.HasField("mount"):
            request.volume_capability.mount.fs_type = ""
        return await self.healthy.node_publish_volume(request)


class UnpublishedFromNowhere(Mutant):
    """NodeUnpublishVolume without a target is OK."""

    caught_by = "N19"

    async def node_unpublish_volume(self, request: Any) -> Any:
        if request.volume_id and not request.target_path:
            return csi.NodeUnpublishVolumeResponse()
        return await self.healthy.node_unpublish_volume(request)


class TargetStays(Mutant):
    """NodeUnpublishVolume unmounts and leaves the target there."""

    caught_by = "N20"
    also = ("N30", "X3B")

    async def node_unpublish_volume(self, request: Any) -> Any:
        there = bool(request.target_path) and Path(request.target_path).exists()
        answer = await self.healthy.node_unpublish_volume(request)
        if there:
            Path(request.target_path).mkdir()
        return answer


class UnpublishedStaysMounted(Mutant):
    """NodeUnpublishVolume is OK and the volume stays mounted."""

    caught_by = "N20"
    also = ("N31",)

    async def node_unpublish_volume(self, request: Any) -> Any:
        if not request.target_path or not mounts.is_mount_point(Path(request.target_path)):
            return await self.healthy.node_unpublish_volume(request)
        return csi.NodeUnpublishVolumeResponse()


class NotPublishedIsNotFound(Mutant):
    """NodeUnpublishVolume of what is not published is NOT_FOUND."""

    caught_by = "N21"
    also = ("N20", "N28")

    async def node_unpublish_volume(self, request: Any) -> Any:
        if request.target_path and request.target_path not in self.store.node.of(request.volume_id).targets:
            raise errors.NotFound("it is not published")
        return await self.healthy.node_unpublish_volume(request)


class TargetGoneIsInternal(Mutant):
    """NodeUnpublishVolume of a target that is not there is INTERNAL."""

    caught_by = "N21"
    also = ("N20", "N28")

    async def node_unpublish_volume(self, request: Any) -> Any:
        if request.volume_id and request.target_path:
            try:
                os.stat(request.target_path)
            except FileNotFoundError as error:
                raise errors.DriverFault("stat: no such file or directory") from error
        return await self.healthy.node_unpublish_volume(request)


class OneLifeOnly(Mutant):
    """A volume that was unstaged cannot be staged again: something of it was left open."""

    caught_by = "N28"
    also = ("X1",)

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.used: set[str] = set()

    async def node_unstage_volume(self, request: Any) -> Any:
        if self.store.node.of(request.volume_id).staging_path:
            self.used.add(request.volume_id)
        return await self.healthy.node_unstage_volume(request)

    async def node_stage_volume(self, request: Any) -> Any:
        if request.volume_id in self.used:
            raise errors.DriverFault("device or resource busy")
        return await self.healthy.node_stage_volume(request)
