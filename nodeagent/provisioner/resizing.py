"""Grow the volume of a claim that asks for more than it has. The file system's part is left to the node (nodeagent/volumes)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim

from csi import errors as csi_errors
from csi.values import AccessMode, block_capability, mount_capability
from nodeagent.api.client import ApiClient
from nodeagent.api.events import NORMAL, TIME_FORMAT, WARNING, Events
from nodeagent.api.resources import key_of, metadata_of
from nodeagent.provisioner import expansion
from nodeagent.provisioner.driver import Driver
from nodeagent.provisioner.volume_request import quantity_text
from nodeagent.provisioner.work_queue import Failed
from proto import csi_pb2 as csi
from runtimes.kube import quantity

_INFEASIBLE: Final = (csi_errors.InvalidArgument, csi_errors.OutOfRange, csi_errors.NotFound)


class Resizing:
    """`resize` is to be called whenever the claim or its volume has changed; not twice at once for one claim."""

    def __init__(
        self,
        client: ApiClient,
        driver: Driver,
        events: Events,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._driver = driver
        self._events = events
        self._now = now

    async def resize(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> None:
        """`volume`: the one that the claim is bound to. Raises Failed, ApiError."""
        if volume.spec is None or volume.spec.csi is None:
            return
        if volume.spec.csi.driver != self._driver.name:
            return
        target = expansion.target_bytes(claim)
        if target is None:
            return
        name = metadata_of(volume).name
        self._events.event(claim, NORMAL, "Resizing", f"External resizer is resizing volume {name}")
        await self._write(claim, expansion.begun(target, self._time()))
        try:
            answer = await self._driver.controller.expand_volume(_request(volume, target))
        except csi_errors.CSIError as error:
            message = f'resize volume "{name}" by resizer "{self._driver.name}" failed: {csi_errors.as_go(error)}'
            await self._tell_failed(claim, error, message)
            raise Failed(message) from error
        size = max(answer.capacity_bytes, target)
        await self._grown(volume, size)
        if answer.node_expansion_required:
            await self._write(claim, expansion.left_to_node(target, self._time()))
            text = "Require file system resize of volume on node"
            self._events.event(claim, NORMAL, "FileSystemResizeRequired", text)
        else:
            await self._write(claim, expansion.finished(size))
            self._events.event(claim, NORMAL, "VolumeResizeSuccessful", "Resize volume succeeded")

    async def _grown(self, volume: PersistentVolume, size: int) -> None:
        """Before the claim says so: a claim whose volume is larger is what is found, and gone on with, after a power cut."""
        metadata = metadata_of(volume)
        assert metadata.name is not None and volume.spec is not None
        if quantity.parse((volume.spec.capacity or {}).get("storage", "0")) != size:
            patch = {"metadata": {"uid": metadata.uid}, "spec": {"capacity": {"storage": quantity_text(size)}}}
            await self._client.patch(PersistentVolume, metadata.name, None, patch)

    async def _tell_failed(self, claim: PersistentVolumeClaim, error: csi_errors.CSIError, message: str) -> None:
        self._events.event(claim, WARNING, "VolumeResizeFailed", message)
        if isinstance(error, csi_errors.Final):
            infeasible = isinstance(error, _INFEASIBLE)
            await self._write(claim, expansion.failed(message, self._time(), infeasible=infeasible))

    async def _write(self, claim: PersistentVolumeClaim, status: dict[str, Any]) -> None:
        namespace, name = key_of(claim)
        patch = {"metadata": {"uid": metadata_of(claim).uid}, "status": status}
        await self._client.patch(PersistentVolumeClaim, name, namespace, patch, subresource="status")

    def _time(self) -> str:
        return self._now().strftime(TIME_FORMAT)


def _request(volume: PersistentVolume, size: int) -> csi.ControllerExpandVolumeRequest:
    assert volume.spec is not None and volume.spec.csi is not None
    mode = AccessMode.SINGLE_NODE_WRITER
    block = volume.spec.volumeMode == "Block"
    capability = block_capability(mode) if block else mount_capability(mode, fs_type=volume.spec.csi.fsType or "")
    return csi.ControllerExpandVolumeRequest(
        volume_id=volume.spec.csi.volumeHandle,
        capacity_range=csi.CapacityRange(required_bytes=size),
        volume_capability=capability,
    )
