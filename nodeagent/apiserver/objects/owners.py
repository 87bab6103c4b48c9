"""Who owns whom: kept from the changes of the store, for the garbage collector."""

from collections.abc import Iterable

from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Change, Key, Stored

Place = tuple[str, Key]
"""(resource, key) of an object."""


class Owners:
    """Two indexes of the committed state: uid -> the object, uid of an owner -> its dependents."""

    def __init__(self, store: Store) -> None:
        self._by_uid: dict[str, Place] = {}
        self._dependents: dict[str, set[Place]] = {}
        for resource in store.resources():
            for stored in store.list(resource):
                self._add(stored)
        store.listen(self._seen)

    def exists(self, uid: str) -> bool:
        return uid in self._by_uid

    def place(self, uid: str) -> Place | None:
        return self._by_uid.get(uid)

    def dependents(self, uid: str) -> Iterable[Place]:
        return tuple(sorted(self._dependents.get(uid, ())))

    def owned(self) -> Iterable[Place]:
        """Every object that has an owner."""
        return {place for places in self._dependents.values() for place in places}

    def _seen(self, change: Change) -> None:
        if change.old is not None:
            self._remove(change.old)
        if change.type != "DELETED":
            self._add(change.new)

    def _add(self, stored: Stored) -> None:
        place = (stored.resource, stored.key)
        self._by_uid[stored.index.uid] = place
        for owner in stored.index.owners:
            self._dependents.setdefault(owner, set()).add(place)

    def _remove(self, stored: Stored) -> None:
        place = (stored.resource, stored.key)
        self._by_uid.pop(stored.index.uid, None)
        for owner in stored.index.owners:
            places = self._dependents.get(owner)
            if places is not None:
                places.discard(place)
                if not places:
                    del self._dependents[owner]
