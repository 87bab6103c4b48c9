"""The garbage collector: what ownerReferences and the propagation policies ask for.

An object all of whose owners are gone is deleted (Background). An owner being deleted with the finalizer
`foregroundDeletion` waits until its dependents that block it are gone; with `orphan` until none refers to it.
"""

import asyncio
import logging
from collections import deque

from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.delete import FOREGROUND, ORPHAN
from nodeagent.apiserver.objects.objects import Objects
from nodeagent.apiserver.objects.options import DeleteOptions, Propagation, WriteOptions
from nodeagent.apiserver.objects.owners import Owners, Place
from nodeagent.apiserver.storage.stored import Change
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

USER = UserInfo(name="system:serviceaccount:kube-system:generic-garbage-collector", groups=("system:masters",))
_MARKS = (f'"{FOREGROUND}"'.encode(), f'"{ORPHAN}"'.encode())
_ATTEMPTS = 5


class Collector:
    """Looks at objects whose ownership may have changed, one after the other."""

    def __init__(self, objects: Objects, owners: Owners) -> None:
        self._objects = objects
        self._store = objects.engine.store
        self._owners = owners
        self._queue: deque[Place] = deque()
        self._queued: set[Place] = set()
        self._wake = asyncio.Event()
        for place in owners.owned():
            self._look_at(place)
        for resource in self._store.resources():
            for stored in self._store.list(resource):
                if any(mark in stored.data for mark in _MARKS):
                    self._look_at((resource, stored.key))
        self._store.listen(self._seen)

    def _seen(self, change: Change) -> None:
        new = change.new
        if change.type == "DELETED":
            for place in self._owners.dependents(new.index.uid):
                self._look_at(place)
            for owner in new.index.owners:
                if (place_of_owner := self._owners.place(owner)) is not None:
                    self._look_at(place_of_owner)
        elif new.index.owners or any(mark in new.data for mark in _MARKS):
            self._look_at((new.resource, new.key))

    def _look_at(self, place: Place) -> None:
        if place not in self._queued:
            self._queued.add(place)
            self._queue.append(place)
            self._wake.set()

    async def run(self) -> None:
        """Collect garbage for the life of the server."""
        while True:
            await self._wake.wait()
            while self._queue:
                place = self._queue.popleft()
                self._queued.discard(place)
                await self._collect(place)
            self._wake.clear()

    async def _collect(self, place: Place) -> None:
        for _ in range(_ATTEMPTS):
            try:
                await self._settle(place)
                return
            except ApiError as error:
                if error.code == 404:
                    return
                if error.code != 409:
                    log.warning("garbage collection of %s %s: %s", place[0], "/".join(place[1]), error)
                    return

    async def _settle(self, place: Place) -> None:
        resource, key = place
        stored = self._store.get(resource, key)
        if stored is None:
            return
        obj = stored.decode()
        meta = obj["metadata"]
        finalizers = meta.get("finalizers") or ()
        if meta.get("deletionTimestamp") and ORPHAN in finalizers:
            for dependent in self._owners.dependents(meta["uid"]):
                await self._disown(dependent, {meta["uid"]})
            await self._drop_finalizer(place, obj, ORPHAN)
        elif meta.get("deletionTimestamp") and FOREGROUND in finalizers:
            await self._foreground(place, obj)
        await self._orphaned(place)

    async def _orphaned(self, place: Place) -> None:
        """Delete an object all of whose owners are gone; forget the gone ones of an object that has others."""
        stored = self._store.get(*place)
        if stored is None or not stored.index.owners:
            return
        gone = {uid for uid in stored.index.owners if not self._owners.exists(uid)} - self._foreign(stored.decode())
        if not gone:
            return
        if len(gone) < len(set(stored.index.owners)):
            await self._disown(place, gone)
        elif not stored.decode()["metadata"].get("deletionTimestamp"):
            await self._delete(place, stored.index.uid, "Background")

    def _foreign(self, obj: JsonObject) -> set[str]:
        """Owners of kinds that this server does not have: nothing can be said about them."""
        registry = self._objects.engine.registry
        owners = obj["metadata"]["ownerReferences"]
        return {o["uid"] for o in owners if registry.by_kind(o.get("apiVersion", ""), o.get("kind", "")) is None}

    async def _foreground(self, place: Place, obj: JsonObject) -> None:
        uid = obj["metadata"]["uid"]
        blocked = False
        for dependent in self._owners.dependents(uid):
            stored = self._store.get(*dependent)
            if stored is None:
                continue
            meta = stored.decode()["metadata"]
            blocked |= any(o.get("uid") == uid and o.get("blockOwnerDeletion") for o in meta["ownerReferences"])
            if not meta.get("deletionTimestamp"):
                await self._delete(dependent, stored.index.uid, "Foreground")
        if not blocked or not self._owners.dependents(uid):
            await self._drop_finalizer(place, obj, FOREGROUND)

    async def _delete(self, place: Place, uid: str, propagation: Propagation) -> None:
        resource, key = place
        options = DeleteOptions(uid=uid, propagation=propagation)
        await self._objects.delete(self._objects.kind(resource), key.namespace, key.name, options, USER)

    async def _disown(self, place: Place, uids: set[str]) -> None:
        stored = self._store.get(*place)
        if stored is None:
            return
        obj = stored.decode()
        owners = obj["metadata"].get("ownerReferences") or ()
        obj["metadata"]["ownerReferences"] = [owner for owner in owners if owner.get("uid") not in uids]
        await self._update(place, obj)

    async def _drop_finalizer(self, place: Place, obj: JsonObject, finalizer: str) -> None:
        obj["metadata"]["finalizers"] = [f for f in obj["metadata"]["finalizers"] if f != finalizer]
        await self._update(place, obj)

    async def _update(self, place: Place, obj: JsonObject) -> None:
        resource, key = place
        kind = self._objects.kind(resource)
        await self._objects.update(kind, key.namespace, key.name, obj, WriteOptions(), USER)
