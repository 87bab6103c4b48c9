"""The Controller service, for drivers that attach: which node may use a volume. And what the controller can do at all."""

from dataclasses import replace

from csi import errors
from csi.driver import checks, publication
from csi.driver.locks import Locks
from csi.driver.settings import Settings
from csi.driver.store import Store
from csi.values import ControllerCapability
from proto import csi_pb2 as csi
from runtimes.linux.tasks import run_blocking

ALWAYS = (
    ControllerCapability.CREATE_DELETE_VOLUME,
    ControllerCapability.LIST_VOLUMES,
    ControllerCapability.GET_CAPACITY,
    ControllerCapability.CREATE_DELETE_SNAPSHOT,
    ControllerCapability.LIST_SNAPSHOTS,
    ControllerCapability.CLONE_VOLUME,
    ControllerCapability.EXPAND_VOLUME,
    ControllerCapability.VOLUME_CONDITION,
    ControllerCapability.GET_VOLUME,
    ControllerCapability.SINGLE_NODE_MULTI_WRITER,
    ControllerCapability.MODIFY_VOLUME,
)
WITH_ALPHA = (ControllerCapability.GET_SNAPSHOT,)
WITH_ATTACH = (
    ControllerCapability.PUBLISH_UNPUBLISH_VOLUME,
    ControllerCapability.PUBLISH_READONLY,
    ControllerCapability.LIST_VOLUMES_PUBLISHED_NODES,
)


class AttachmentService:
    """`locks`: by volume id, shared with the others."""

    def __init__(self, settings: Settings, store: Store, locks: Locks) -> None:
        self._settings = settings
        self._store = store
        self._locks = locks

    async def controller_get_capabilities(
        self, _request: csi.ControllerGetCapabilitiesRequest
    ) -> csi.ControllerGetCapabilitiesResponse:
        answer = csi.ControllerGetCapabilitiesResponse()
        attach, alpha = self._settings.attach, self._settings.alpha
        for each in (*ALWAYS, *(WITH_ATTACH if attach else ()), *(WITH_ALPHA if alpha else ())):
            answer.capabilities.add(rpc=csi.ControllerServiceCapability.RPC(type=each.name))
        return answer

    async def controller_publish_volume(
        self, request: csi.ControllerPublishVolumeRequest
    ) -> csi.ControllerPublishVolumeResponse:
        self._check_claimed()
        checks.required(request.volume_id, "volume_id")
        checks.required(request.node_id, "node_id")
        access = checks.one_access(request)
        async with self._locks.of(request.volume_id):
            volume = self._store.volumes.known(request.volume_id)
            if request.node_id != self._settings.node_id:
                if request.node_id in self._settings.other_nodes:
                    raise errors.WrongState(f"the volume is on node {self._settings.node_id} alone")
                raise errors.NotFound(f"no node {errors.presentable(request.node_id)[:128]}")
            publication.check_options(volume, access)
            before = volume.attached.get(request.node_id)
            if before is None:
                self._check_limit()
                attached = {**volume.attached, request.node_id: request.readonly}
                await run_blocking(self._store.volumes.update, replace(volume, attached=attached))
            elif before != request.readonly:
                raise errors.AlreadyExists("the volume is attached to the node, with another readonly")
        return csi.ControllerPublishVolumeResponse()

    async def controller_unpublish_volume(
        self, request: csi.ControllerUnpublishVolumeRequest
    ) -> csi.ControllerUnpublishVolumeResponse:
        self._check_claimed()
        checks.required(request.volume_id, "volume_id")
        async with self._locks.of(request.volume_id):
            volume = self._store.volumes.get(request.volume_id)
            if volume is None:
                return csi.ControllerUnpublishVolumeResponse()
            if publication.is_staged(self._store.node.of(volume.id)) and request.node_id in (
                "",
                self._settings.node_id,
            ):
                raise errors.WrongState("the volume is staged on the node")
            left = {node: how for node, how in volume.attached.items() if request.node_id not in ("", node)}
            if left != volume.attached:
                await run_blocking(self._store.volumes.update, replace(volume, attached=left))
        return csi.ControllerUnpublishVolumeResponse()

    def _check_claimed(self) -> None:
        if not self._settings.attach:
            raise errors.NotSupported("PUBLISH_UNPUBLISH_VOLUME is not claimed")

    def _check_limit(self) -> None:
        attached = sum(1 for volume in self._store.volumes.all() if volume.attached)
        if 0 < self._settings.max_volumes <= attached:
            raise errors.Exhausted(f"{attached} volumes are attached to the node, which is all it takes")
