"""The Node service: stage and publish. What is on this node is written down before it is mounted, and struck after it is not."""

from dataclasses import replace
from pathlib import Path

from csi import errors
from csi.driver import checks, growth, publication
from csi.driver.locks import Locks
from csi.driver.records import Access, Target, Volume
from csi.driver.settings import Settings
from csi.driver.store import Store
from csi.values import AccessMode, NodeCapability
from proto import csi_pb2 as csi
from runtimes.linux import mounts
from runtimes.linux.tasks import run_blocking

CAPABILITIES = (
    NodeCapability.STAGE_UNSTAGE_VOLUME,
    NodeCapability.GET_VOLUME_STATS,
    NodeCapability.EXPAND_VOLUME,
    NodeCapability.VOLUME_CONDITION,
    NodeCapability.SINGLE_NODE_MULTI_WRITER,
)
WITH_GROUPS = (NodeCapability.VOLUME_MOUNT_GROUP,)

_MAX_TARGETS = 1000  # of one volume


class NodeService:
    """`locks`: shared with the controller's side, so that a volume is not deleted while it is mounted."""

    def __init__(self, settings: Settings, store: Store, locks: Locks) -> None:
        self._settings = settings
        self._store = store
        self._locks = locks

    async def node_get_info(self, _request: csi.NodeGetInfoRequest) -> csi.NodeGetInfoResponse:
        return csi.NodeGetInfoResponse(
            node_id=self._settings.node_id,
            max_volumes_per_node=self._settings.max_volumes,
            accessible_topology=csi.Topology(segments=self._settings.topology),
        )

    async def node_get_capabilities(self, _request: csi.NodeGetCapabilitiesRequest) -> csi.NodeGetCapabilitiesResponse:
        answer = csi.NodeGetCapabilitiesResponse()
        for each in (*CAPABILITIES, *(WITH_GROUPS if self._settings.mount_group else ())):
            answer.capabilities.add(rpc=csi.NodeServiceCapability.RPC(type=each.name))
        return answer

    async def node_stage_volume(self, request: csi.NodeStageVolumeRequest) -> csi.NodeStageVolumeResponse:
        checks.required(request.volume_id, "volume_id")
        staging = str(checks.path(request.staging_target_path, "staging_target_path"))
        access = checks.on_node(request, claims_groups=self._settings.mount_group)
        async with self._locks.of(request.volume_id):
            volume = self._usable(request.volume_id)
            publication.check_options(volume, access)
            grows_unmounted = volume.fs_behind and volume.fs_type == "ext4"
            if grows_unmounted and not publication.is_staged(self._store.node.of(volume.id)):
                await growth.grow_unmounted(self._store.volumes.place(volume))
                await run_blocking(self._store.volumes.update, replace(volume, fs_behind=False))
            await run_blocking(self._stage, volume, staging, access)
            if volume.fs_behind and not grows_unmounted:
                await self._grow_staged(volume, staging, access)
        return csi.NodeStageVolumeResponse()

    async def _grow_staged(self, volume: Volume, staging: str, access: Access) -> None:
        """One that is mounted to be read alone stays as it is, until it is mounted otherwise."""
        if not access.mode.reads_only and "ro" not in access.flags:
            (device, *_) = await growth.grow_devices(self._store.volumes.place(volume))
            await growth.grow_mounted(volume.fs_type, device, Path(staging))
            await run_blocking(self._store.volumes.update, replace(volume, fs_behind=False))

    def _stage(self, volume: Volume, staging: str, access: Access) -> None:
        node_volume = self._store.node.of(volume.id)
        if publication.is_staged(node_volume):
            if node_volume.staging_path != staging:
                raise errors.WrongState(f"the volume is staged at {mounts.shown(node_volume.staging_path)}")
            if node_volume.staged != access:
                raise errors.AlreadyExists("the volume is staged there with another capability")
            publication.give_group(Path(staging), access)
            return
        if mounts.is_mount_point(Path(staging)):
            raise errors.WrongState(f"something else is mounted at {mounts.shown(staging)}")
        self._store.node.keep(replace(node_volume, staging_path=staging, staged=access))
        publication.stage(volume, self._store.volumes.place(volume), Path(staging), access)
        publication.give_group(Path(staging), access)

    async def node_unstage_volume(self, request: csi.NodeUnstageVolumeRequest) -> csi.NodeUnstageVolumeResponse:
        checks.required(request.volume_id, "volume_id")
        staging = str(checks.path(request.staging_target_path, "staging_target_path"))
        async with self._locks.of(request.volume_id):
            await run_blocking(self._unstage, request.volume_id, staging)
        return csi.NodeUnstageVolumeResponse()

    def _unstage(self, volume_id: str, staging: str) -> None:
        node_volume, volume = self._store.node.of(volume_id), self._store.volumes.get(volume_id)
        if node_volume.staging_path != staging:
            if mounts.is_mount_point(Path(staging)):
                raise errors.WrongState(f"something else is mounted at {mounts.shown(staging)}")
            return
        if publication.live_targets(node_volume):
            raise errors.WrongState("the volume is published")
        publication.unstage(None if volume is None else self._store.volumes.place(volume), Path(staging))
        self._store.node.keep(replace(node_volume, staging_path="", staged=None))

    async def node_publish_volume(self, request: csi.NodePublishVolumeRequest) -> csi.NodePublishVolumeResponse:
        checks.required(request.volume_id, "volume_id")
        target = str(checks.path(request.target_path, "target_path"))
        access = checks.on_node(request, claims_groups=self._settings.mount_group)
        how = Target(access=access, readonly=request.readonly or access.mode.reads_only)
        async with self._locks.of(request.volume_id):
            volume = self._usable(request.volume_id)
            if not request.staging_target_path:
                raise errors.WrongState("staging_target_path is missing: the volume has to be staged first")
            staging = str(checks.path(request.staging_target_path, "staging_target_path"))
            publication.check_options(volume, access)
            await run_blocking(self._publish, volume, staging, target, how)
        return csi.NodePublishVolumeResponse()

    def _publish(self, volume: Volume, staging: str, target: str, how: Target) -> None:
        node_volume = self._store.node.of(volume.id)
        if node_volume.staging_path != staging or not publication.is_staged(node_volume):
            raise errors.WrongState(f"the volume is not staged at {mounts.shown(staging)}")
        live = publication.live_targets(node_volume)
        if target in live:
            if live[target] != how:
                raise errors.AlreadyExists("the volume is published there in another way")
            return
        if mounts.is_mount_point(Path(target)):
            raise errors.WrongState(f"something else is mounted at {mounts.shown(target)}")
        alone = AccessMode.SINGLE_NODE_SINGLE_WRITER
        if len(node_volume.targets) >= _MAX_TARGETS:
            raise errors.Exhausted(f"the volume has {len(node_volume.targets)} targets already")
        if live and alone in (how.access.mode, *(each.access.mode for each in live.values())):
            raise errors.WrongState("the volume is published elsewhere, and for one only")
        self._store.node.keep(replace(node_volume, targets={**node_volume.targets, target: how}))
        publication.publish(self._store.volumes.place(volume), Path(staging), Path(target), how)

    async def node_unpublish_volume(self, request: csi.NodeUnpublishVolumeRequest) -> csi.NodeUnpublishVolumeResponse:
        checks.required(request.volume_id, "volume_id")
        target = str(checks.path(request.target_path, "target_path"))
        async with self._locks.of(request.volume_id):
            await run_blocking(self._unpublish, request.volume_id, target)
        return csi.NodeUnpublishVolumeResponse()

    def _unpublish(self, volume_id: str, target: str) -> None:
        node_volume, volume = self._store.node.of(volume_id), self._store.volumes.get(volume_id)
        how = node_volume.targets.get(target)
        if how is None:
            if mounts.is_mount_point(Path(target)):
                raise errors.WrongState(f"something else is mounted at {mounts.shown(target)}")
            return
        publication.unpublish(Path(target))
        left = {path: each for path, each in node_volume.targets.items() if path != target}
        if volume is not None and how.access.block and how.readonly not in {each.readonly for each in left.values()}:
            publication.release_devices(self._store.volumes.place(volume), readonly=how.readonly)
        self._store.node.keep(replace(node_volume, targets=left))

    def _usable(self, volume_id: str) -> Volume:
        """Raises NotFound, WrongState where it has to be attached first."""
        volume = self._store.volumes.known(volume_id)
        if self._settings.attach and self._settings.node_id not in volume.attached:
            raise errors.WrongState("the volume is not attached to this node")
        return volume
