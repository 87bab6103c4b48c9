"""Faults of groups."""

import os
from pathlib import Path
from typing import Any

from tests.mutants.csi.driver import Mutant


class GroupIsReset(Mutant):
    """NodePublishVolume gives the volume's directory to root again, whatever group of a pod's it had been given."""

    caught_by = "X6"

    async def node_publish_volume(self, request: Any) -> Any:
        answer = await self.healthy.node_publish_volume(request)
        if not request.readonly and Path(request.target_path).is_dir():
            os.chown(request.target_path, 0, 0)
            Path(request.target_path).chmod(0o755)
        return answer


class MountGroupIgnored(Mutant):
    """VOLUME_MOUNT_GROUP is claimed, and the group is not looked at."""

    caught_by = "X7"
    form = "attach"

    async def node_stage_volume(self, request: Any) -> Any:
        request.volume_capability.mount.volume_mount_group = ""
        return await self.healthy.node_stage_volume(request)

    async def node_publish_volume(self, request: Any) -> Any:
        request.volume_capability.mount.volume_mount_group = ""
        return await self.healthy.node_publish_volume(request)
