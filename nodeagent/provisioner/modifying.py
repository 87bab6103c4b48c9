"""Change a volume when its claim names another VolumeAttributesClass, as external-resizer does it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim
from lightkube.models.storage_v1 import VolumeAttributesClass

from csi import errors as csi_errors
from nodeagent.api import errors
from nodeagent.api.client import ApiClient
from nodeagent.api.events import NORMAL, TIME_FORMAT, WARNING, Events
from nodeagent.api.resources import key_of, metadata_of
from nodeagent.provisioner import modification
from nodeagent.provisioner.driver import Driver
from nodeagent.provisioner.volume_request import wrong_driver
from nodeagent.provisioner.work_queue import Failed
from proto import csi_pb2 as csi

_FAILED: Final = "VolumeModifyFailed"


class Modifying:
    """`modify` is to be called whenever the claim or its volume has changed; not twice at once for one claim."""

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

    async def modify(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> None:
        """`volume`: the one that the claim is bound to. Raises Failed, ApiError."""
        if volume.spec is None or volume.spec.csi is None or volume.spec.csi.driver != self._driver.name:
            return
        if modification.is_left_over(claim):
            await self._write(claim, modification.settled())
        elif modification.target_class(claim):
            # asked anew: what was followed may be from before the last change was written down, and tell of it twice
            namespace, name = key_of(claim)
            claim = await self._client.get(PersistentVolumeClaim, name, namespace)
            if target := modification.target_class(claim):
                await self._give(claim, volume, target)

    async def _give(self, claim: PersistentVolumeClaim, volume: PersistentVolume, name: str) -> None:
        found = await self._class(claim, name)
        if found.driverName != self._driver.name:  # its parameters mean nothing here, or something else
            text = wrong_driver(name, found.driverName, self._driver.name)
            raise await self._refused(claim, name, text, infeasible=True)
        await self._write(claim, modification.begun(name, self._time()))
        shown = metadata_of(claim).name
        self._events.event(
            claim, NORMAL, "VolumeModify", f"external resizer is modifying volume {shown} with vac {name}"
        )
        await self._ask(claim, volume, found)
        await self._known(volume, name)
        await self._write(claim, modification.finished(name))
        text = f"external resizer modified volume {shown} with vac {name} successfully"
        self._events.event(claim, NORMAL, "VolumeModifySuccessful", text)

    async def _class(self, claim: PersistentVolumeClaim, name: str) -> VolumeAttributesClass:
        try:
            return await self._client.get(VolumeAttributesClass, name)
        except errors.NotFound:
            text = f"VAC {name} does not exist."
            self._events.event(claim, WARNING, _FAILED, text)
            await self._write(claim, modification.pending())
            raise Failed(text) from None

    async def _ask(self, claim: PersistentVolumeClaim, volume: PersistentVolume, wanted: VolumeAttributesClass) -> None:
        assert volume.spec is not None and volume.spec.csi is not None
        request = csi.ControllerModifyVolumeRequest(
            volume_id=volume.spec.csi.volumeHandle, mutable_parameters=wanted.parameters or {}
        )
        try:
            await self._driver.controller.modify_volume(request)
        except csi_errors.Unreachable as error:  # it is started again: nothing for the claim's author to see
            raise Failed(str(error)) from error
        except csi_errors.CSIError as error:
            infeasible = isinstance(error, csi_errors.InvalidArgument)
            name = metadata_of(wanted).name or ""
            raise await self._refused(claim, name, csi_errors.as_go(error), infeasible=infeasible) from error

    async def _refused(self, claim: PersistentVolumeClaim, name: str, message: str, *, infeasible: bool) -> Failed:
        self._events.event(claim, WARNING, _FAILED, message)
        await self._write(claim, modification.failed(name, message, self._time(), infeasible=infeasible))
        return Failed(message)

    async def _known(self, volume: PersistentVolume, name: str) -> None:
        """The volume before its claim: after a power cut in between, it is asked for once more."""
        metadata = metadata_of(volume)
        assert metadata.name is not None
        patch = {"metadata": {"uid": metadata.uid}, "spec": {"volumeAttributesClassName": name}}
        await self._client.patch(PersistentVolume, metadata.name, None, patch)

    async def _write(self, claim: PersistentVolumeClaim, status: dict[str, Any]) -> None:
        namespace, name = key_of(claim)
        patch = {"metadata": {"uid": metadata_of(claim).uid}, "status": status}
        await self._client.patch(PersistentVolumeClaim, name, namespace, patch, subresource="status")

    def _time(self) -> str:
        return self._now().strftime(TIME_FORMAT)
