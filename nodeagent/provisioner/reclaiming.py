"""Give back the volume of a PersistentVolume whose claim is gone, if that is what its reclaim policy says."""

import contextlib
from typing import Final

from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim

from csi.errors import CSIError, as_go
from nodeagent.api import errors
from nodeagent.api.client import ApiClient
from nodeagent.api.events import WARNING, Events
from nodeagent.api.resources import metadata_of
from nodeagent.provisioner.driver import Driver
from nodeagent.provisioner.names import PROVISIONED_BY, RECLAIM_FINALIZER
from nodeagent.provisioner.work_queue import Failed
from proto import csi_pb2 as csi

_UNUSED: Final = ("Released", "Failed")
_NEVER_USED: Final = ("Available", "Pending", None)


class Reclaiming:
    """`reclaim` is to be called whenever the volume has changed; not twice at once for one volume."""

    def __init__(self, client: ApiClient, driver: Driver, events: Events) -> None:
        self._client = client
        self._driver = driver
        self._events = events

    async def reclaim(self, volume: PersistentVolume) -> None:
        """Raises Failed, ApiError."""
        metadata, spec = metadata_of(volume), volume.spec
        if spec is None or spec.csi is None or (metadata.annotations or {}).get(PROVISIONED_BY) != self._driver.name:
            return
        deletes = spec.persistentVolumeReclaimPolicy == "Delete"
        held = RECLAIM_FINALIZER in (metadata.finalizers or ())
        if deletes is not held and metadata.deletionTimestamp is None:  # the policy has been changed
            await self._hold(volume) if deletes else await self._let_go(volume)
        elif held and not deletes:
            await self._let_go(volume)
        if deletes and _may_go(volume) and not await self._is_claimed(volume):
            await self._delete(volume)

    async def _is_claimed(self, volume: PersistentVolume) -> bool:
        """Asked anew: what is deleted here does not come again."""
        reference = volume.spec.claimRef if volume.spec else None
        if reference is None or not reference.name:
            return False
        try:
            claim = await self._client.get(PersistentVolumeClaim, reference.name, reference.namespace)
        except errors.NotFound:
            return False
        return reference.uid in (None, "", metadata_of(claim).uid)

    async def _delete(self, volume: PersistentVolume) -> None:
        """The data first: while it is there somebody has to know of it."""
        metadata = metadata_of(volume)
        assert metadata.name is not None and volume.spec is not None and volume.spec.csi is not None
        request = csi.DeleteVolumeRequest(volume_id=volume.spec.csi.volumeHandle)
        try:
            await self._driver.controller.delete_volume(request)
        except CSIError as error:
            self._events.event(volume, WARNING, "VolumeFailedDelete", as_go(error))
            raise Failed(f"{metadata.name}: {error}") from error
        try:
            await self._client.delete(PersistentVolume, metadata.name, uid=metadata.uid)
        except (errors.NotFound, errors.Conflict):
            return
        await self._let_go(volume)

    async def _hold(self, volume: PersistentVolume) -> None:
        await self._patch(volume, {"finalizers": [RECLAIM_FINALIZER]})

    async def _let_go(self, volume: PersistentVolume) -> None:
        await self._patch(volume, {"$deleteFromPrimitiveList/finalizers": [RECLAIM_FINALIZER]})

    async def _patch(self, volume: PersistentVolume, change: dict[str, object]) -> None:
        metadata = metadata_of(volume)
        assert metadata.name is not None
        patch = {"metadata": {"uid": metadata.uid, **change}}
        with contextlib.suppress(errors.NotFound, errors.Conflict):  # gone, with another of its name perhaps
            await self._client.patch(PersistentVolume, metadata.name, None, patch)


def _may_go(volume: PersistentVolume) -> bool:
    """Whether no claim has it any more: one that never had one goes when somebody deletes it."""
    phase = volume.status.phase if volume.status else None
    if metadata_of(volume).deletionTimestamp is not None and phase in _NEVER_USED:
        return True
    return phase in _UNUSED
