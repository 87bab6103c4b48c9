"""Follows claims and volumes, and has each looked at that has changed in what matters here."""

import asyncio
from typing import Literal

from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim

from nodeagent.api import errors
from nodeagent.api.client import ApiClient
from nodeagent.api.events import Events
from nodeagent.api.informer import Informer
from nodeagent.api.resources import key_of, metadata_of
from nodeagent.api.wire import EventType
from nodeagent.provisioner.driver import Driver
from nodeagent.provisioner.modifying import Modifying
from nodeagent.provisioner.names import PROVISIONER, SELECTED_NODE, volume_name
from nodeagent.provisioner.provisioning import Provisioning
from nodeagent.provisioner.reclaiming import Reclaiming
from nodeagent.provisioner.resizing import Resizing
from nodeagent.provisioner.work_queue import Failed, WorkQueue

Key = tuple[Literal["claim", "volume"], str, str]  # namespace and name; a volume's namespace is ""


class StorageController:
    """`needed` is set when there is a claim or a volume of the driver, which nobody has asked for anything before."""

    def __init__(self, client: ApiClient, driver: Driver, events: Events, node_name: str) -> None:
        self.needed = asyncio.Event()
        self._driver = driver
        self._provisioning = Provisioning(client, driver, events, node_name)
        self._reclaiming = Reclaiming(client, driver, events)
        self._resizing = Resizing(client, driver, events)
        self._modifying = Modifying(client, driver, events)
        self._claims = Informer(client, PersistentVolumeClaim)
        self._volumes = Informer(client, PersistentVolume)
        self._queue = WorkQueue(self._look)
        self._claims.subscribe(self._claim_changed)
        self._volumes.subscribe(self._volume_changed)

    @property
    def informers(self) -> tuple[Informer[PersistentVolumeClaim], Informer[PersistentVolume]]:
        """To be run."""
        return self._claims, self._volumes

    async def run(self) -> None:
        """Look after them, once the driver is needed and answers, until cancelled.

        And once both are known: to a copy that is behind, a claim that has its volume would have none.
        """
        await self.needed.wait()
        await self._driver.answers()
        await self._claims.synced()
        await self._volumes.synced()
        await self._queue.run()

    def _claim_changed(
        self, _kind: EventType, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None
    ) -> None:
        if new is None or (metadata_of(new).annotations or {}).get(PROVISIONER) != self._driver.name:
            return
        self.needed.set()
        if old is None or _what_counts(old) != _what_counts(new):
            self._queue.add(("claim", *key_of(new)))

    def _volume_changed(self, _kind: EventType, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        volume = new or old
        if volume is None or volume.spec is None or volume.spec.csi is None:
            return
        if volume.spec.csi.driver != self._driver.name:
            return
        self.needed.set()
        if new is not None:
            self._queue.add(("volume", *key_of(new)))
        reference = volume.spec.claimRef
        if reference is not None and reference.name and reference.namespace:
            self._queue.add(("claim", reference.namespace, reference.name))

    async def _look(self, key: Key) -> None:
        """Raises Failed."""
        kind, namespace, name = key
        try:
            if kind == "volume":
                if (volume := self._volumes.get("", name)) is not None:
                    await self._reclaiming.reclaim(volume)
            elif (claim := self._claims.get(namespace, name)) is not None:
                await self._provisioning.provision(claim, self._volumes.get("", volume_name(claim)))
                bound = claim.spec.volumeName if claim.spec else ""
                if bound and (volume := self._volumes.get("", bound)) is not None:
                    await self._change(claim, volume)
        except errors.ApiError as error:
            raise Failed(f"the API: {error}") from error

    async def _change(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> None:
        """A size that cannot be had keeps nobody from another class. Raises Failed, ApiError."""
        try:
            await self._resizing.resize(claim, volume)
        except Failed:
            await self._modifying.modify(claim, volume)
            raise
        await self._modifying.modify(claim, volume)


def _what_counts(claim: PersistentVolumeClaim) -> object:
    """What makes a claim worth another look. Not its conditions: these are written here."""
    metadata, status = metadata_of(claim), claim.status
    annotations = metadata.annotations or {}
    return (
        metadata.uid,
        metadata.deletionTimestamp,
        metadata.finalizers,
        annotations.get(PROVISIONER),
        annotations.get(SELECTED_NODE),
        claim.spec,
        (status.phase, status.capacity, status.allocatedResourceStatuses) if status else None,
    )
