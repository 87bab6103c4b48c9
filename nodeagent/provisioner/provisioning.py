"""Make the volume of a claim that names this driver, or of one that is given up meanwhile see that none is left.

In this order, each step of which may be the last before a power cut:

1. the claim gets a finalizer: it does not go before it is known what became of its volume;
2. the driver makes the volume, by a name of the claim's uid: asked again, it answers with the same one;
3. the API gets the PersistentVolume, which names the claim; the API's own controller binds the two;
4. the finalizer goes.
"""

import contextlib
import logging
from collections.abc import Awaitable
from typing import Final

from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim
from lightkube.models.storage_v1 import StorageClass, VolumeAttributesClass

from csi import errors as csi_errors
from nodeagent.api import errors
from nodeagent.api.client import ApiClient
from nodeagent.api.events import NORMAL, WARNING, Events
from nodeagent.api.resources import key_of, metadata_of
from nodeagent.provisioner.driver import Driver
from nodeagent.provisioner.names import PROVISIONER, PROVISIONING_FINALIZER, SELECTED_NODE, volume_name
from nodeagent.provisioner.volume_request import (
    Unusable,
    Wanted,
    create_request,
    persistent_volume,
    source_claim,
    wrong_driver,
)
from nodeagent.provisioner.work_queue import Failed
from proto import csi_pb2 as csi

# the driver has said no, or that it has no room: nothing of the call is there
_NOTHING_MADE: Final = (csi_errors.Final, csi_errors.Exhausted)
log = logging.getLogger(__name__)


class Provisioning:
    """`provision` is to be called whenever the claim or its volume has changed; not twice at once for one claim."""

    def __init__(self, client: ApiClient, driver: Driver, events: Events, node_name: str) -> None:
        self._client = client
        self._driver = driver
        self._events = events
        self._node_name = node_name
        self._nothing_made: set[str] = set()  # uids of claims for which the driver has made nothing, as it says

    async def provision(self, claim: PersistentVolumeClaim, volume: PersistentVolume | None) -> None:
        """`volume`: the PersistentVolume of the name that the claim's would have. Raises Failed, ApiError."""
        metadata = metadata_of(claim)
        held = PROVISIONING_FINALIZER in (metadata.finalizers or ())
        if volume is not None:
            if held:
                await self._let_go(claim)
        elif metadata.deletionTimestamp is not None:
            if held:
                await self._give_up(claim)
        elif self._is_asked(claim):
            await self._told(claim, self._make(claim))

    def _is_asked(self, claim: PersistentVolumeClaim) -> bool:
        annotations = metadata_of(claim).annotations or {}
        bound = claim.spec is None or claim.spec.volumeName
        return not bound and annotations.get(PROVISIONER) == self._driver.name

    async def _told(self, claim: PersistentVolumeClaim, work: Awaitable[None]) -> None:
        class_name = claim.spec.storageClassName if claim.spec else ""
        try:
            await work
        except csi_errors.Unreachable as error:  # it is started again: nothing for the claim's author to see
            raise Failed(str(error)) from error
        except (Unusable, csi_errors.CSIError) as error:
            cause = csi_errors.as_go(error) if isinstance(error, csi_errors.CSIError) else str(error)
            message = f'failed to provision volume with StorageClass "{class_name}": {cause}'
            self._events.event(claim, WARNING, "ProvisioningFailed", message)
            raise Failed(message) from error

    async def _make(self, claim: PersistentVolumeClaim) -> None:
        namespace, name = key_of(claim)
        self._check_node(claim)
        wanted = await self._wanted(claim)
        request = create_request(wanted)
        text = f'External provisioner is provisioning volume for claim "{namespace}/{name}"'
        self._events.event(claim, NORMAL, "Provisioning", text)
        await self._hold(claim)
        made = await self._created(claim, request)
        try:
            with contextlib.suppress(errors.AlreadyExists):  # by this very call, the answer to which was lost
                await self._client.create(persistent_volume(wanted, made, self._driver.name))
        except (errors.Invalid, errors.BadRequest) as error:
            await self._driver.controller.delete_volume(csi.DeleteVolumeRequest(volume_id=made.volume_id))
            raise Unusable(f"the API takes no such volume: {error.message}") from error
        self._events.event(
            claim, NORMAL, "ProvisioningSucceeded", f"Successfully provisioned volume {volume_name(claim)}"
        )

    def _check_node(self, claim: PersistentVolumeClaim) -> None:
        selected = (metadata_of(claim).annotations or {}).get(SELECTED_NODE, self._node_name)
        if selected != self._node_name:
            raise Unusable(f'volumes are made on node "{self._node_name}" alone, not on "{selected}"')

    async def _wanted(self, claim: PersistentVolumeClaim) -> Wanted:
        """Raises Unusable, csi.errors, ApiError."""
        assert claim.spec is not None
        class_name = claim.spec.storageClassName or ""
        try:
            storage_class = await self._client.get(StorageClass, class_name)
        except errors.NotFound:
            raise Unusable(f'storageclass.storage.k8s.io "{class_name}" not found') from None
        if storage_class.provisioner != self._driver.name:  # whoever has written the annotation: the class decides
            raise Unusable(f'the class is of provisioner "{storage_class.provisioner}"')
        return Wanted(
            claim=claim,
            storage_class=storage_class,
            topology=await self._driver.topology(),
            source=await self._source(claim),
            attributes=await self._attributes(claim.spec.volumeAttributesClassName or ""),
        )

    async def _attributes(self, name: str) -> VolumeAttributesClass | None:
        if not name:
            return None
        try:
            found = await self._client.get(VolumeAttributesClass, name)
        except errors.NotFound:
            raise Unusable(f'volumeattributesclasses.storage.k8s.io "{name}" not found') from None
        if found.driverName != self._driver.name:
            raise Unusable(wrong_driver(name, found.driverName, self._driver.name))
        return found

    async def _source(self, claim: PersistentVolumeClaim) -> PersistentVolume | None:
        name = source_claim(claim)
        if not name:
            return None
        namespace = key_of(claim)[0]
        try:
            source = await self._client.get(PersistentVolumeClaim, name, namespace)
        except errors.NotFound:
            raise Unusable(f'the PVC source not found: persistentvolumeclaim "{name}" not found') from None
        if source.status is None or source.status.phase != "Bound" or not (source.spec and source.spec.volumeName):
            raise Unusable(f"the PVC DataSource {name} must have a bound volume")
        if metadata_of(source).deletionTimestamp is not None:
            raise Unusable(f"the PVC DataSource {name} is currently being deleted")
        return await self._client.get(PersistentVolume, source.spec.volumeName)

    async def _created(self, claim: PersistentVolumeClaim, request: csi.CreateVolumeRequest) -> csi.Volume:
        """Raises csi.errors."""
        uid = metadata_of(claim).uid or ""
        self._nothing_made.discard(uid)
        try:
            return (await self._driver.controller.create_volume(request)).volume
        except _NOTHING_MADE:
            self._nothing_made.add(uid)
            raise

    async def _hold(self, claim: PersistentVolumeClaim) -> None:
        """The finalizer is on the claim. Raises Failed where it is going away, or gone."""
        metadata = metadata_of(claim)
        if PROVISIONING_FINALIZER in (metadata.finalizers or ()):
            return
        namespace, name = key_of(claim)
        patch = {"metadata": {"uid": metadata.uid, "finalizers": [PROVISIONING_FINALIZER]}}
        try:
            await self._client.patch(PersistentVolumeClaim, name, namespace, patch)
        except (errors.NotFound, errors.Conflict, errors.Invalid, errors.Forbidden) as error:
            raise Failed(f"claim {namespace}/{name} is going away: {error.message}") from error

    async def _give_up(self, claim: PersistentVolumeClaim) -> None:
        """The claim is deleted, and a volume may have been made for it that no PersistentVolume tells of.

        Its id is had by asking for it once more. Raises Failed, ApiError.
        """
        uid = metadata_of(claim).uid or ""
        if uid not in self._nothing_made:
            try:
                made = await self._created(claim, create_request(await self._wanted(claim)))
                await self._driver.controller.delete_volume(csi.DeleteVolumeRequest(volume_id=made.volume_id))
            except _NOTHING_MADE:
                pass
            except csi_errors.CSIError as error:
                raise Failed(f"{volume_name(claim)} is to be deleted: {error}") from error
            except Unusable as error:  # it has been usable: its class or its source went with it
                log.warning("a volume %s may be left, which nobody can find any more: %s", volume_name(claim), error)
        await self._let_go(claim)

    async def _let_go(self, claim: PersistentVolumeClaim) -> None:
        metadata = metadata_of(claim)
        self._nothing_made.discard(metadata.uid or "")
        namespace, name = key_of(claim)
        patch = {"metadata": {"uid": metadata.uid, "$deleteFromPrimitiveList/finalizers": [PROVISIONING_FINALIZER]}}
        with contextlib.suppress(errors.NotFound, errors.Conflict):  # gone, with another of its name perhaps
            await self._client.patch(PersistentVolumeClaim, name, namespace, patch)
