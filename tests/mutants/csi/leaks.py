"""What is left of volumes that are gone."""

import os
from pathlib import Path
from typing import Any

from csi.driver.records import NodeVolume
from proto import csi_pb2 as csi
from runtimes.linux import mounts
from tests.mutants.csi.driver import Mutant


class DeviceStays(Mutant):
    """The loop device of a block volume stays when the volume is unstaged and deleted."""

    caught_by = "X15"
    also = ("X3", "X4B")

    async def node_unpublish_volume(self, request: Any) -> Any:
        how = self.store.node.of(request.volume_id).targets.get(request.target_path)
        if how is None or not how.access.block:
            return await self.healthy.node_unpublish_volume(request)
        mounts.unmount_all(Path(request.target_path))
        os.unlink(request.target_path)
        return csi.NodeUnpublishVolumeResponse()

    async def node_unstage_volume(self, request: Any) -> Any:
        volume = self.store.volumes.get(request.volume_id)
        if volume is None or not volume.block:
            return await self.healthy.node_unstage_volume(request)
        self.store.node.keep(NodeVolume(volume_id=volume.id))
        return csi.NodeUnstageVolumeResponse()

    async def delete_volume(self, request: Any) -> Any:
        volume = self.store.volumes.get(request.volume_id)
        if volume is None or not volume.block:
            return await self.healthy.delete_volume(request)
        self.store.volumes.remove(volume)
        return csi.DeleteVolumeResponse()


class TargetsParentStays(Mutant):
    """NodePublishVolume makes a file beside the target, and nobody removes it."""

    caught_by = "X15"
    also = ("N20", "N28")

    async def node_publish_volume(self, request: Any) -> Any:
        answer = await self.healthy.node_publish_volume(request)
        Path(f"{request.target_path}.json").write_text("{}")
        return answer
