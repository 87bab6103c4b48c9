"""Which devices which container has, and what its plugin said of them: in memory and in `kubelet_internal_checkpoint`.

The file is a kubelet's, checksum and all (docs/facts/node-resources.md 12.1).
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nodeagent.podspec.pod import PodUID
from nodeagent.resources import checkpoint
from nodeagent.resources.checkpoint import BadState, Saver

FILE = "kubelet_internal_checkpoint"
NO_NODE = -1  # of devices that are at no NUMA node


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Devices of one resource that a container has. `ids` by NUMA node; `answer`: a ContainerAllocateResponse, in base64."""

    uid: PodUID = msgspec.field(name="PodUID")
    container: str = msgspec.field(name="ContainerName")
    resource: str = msgspec.field(name="ResourceName")
    ids_by_node: dict[str, list[str]] = msgspec.field(name="DeviceIDs")
    answer: str = msgspec.field(name="AllocResp")

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(id for ids in self.ids_by_node.values() for id in ids)


class _Data(msgspec.Struct, kw_only=True):
    entries: list[Entry] | None = msgspec.field(name="PodDeviceEntries")
    registered: dict[str, list[str]] | None = msgspec.field(name="RegisteredDevices")


class _File(msgspec.Struct, kw_only=True):
    data: _Data = msgspec.field(name="Data")
    checksum: int = msgspec.field(name="Checksum")


@dataclass(frozen=True, slots=True)
class Holding:
    """Of one resource: the devices of a container."""

    resource: str
    ids: frozenset[str]
    answer: bytes
    ids_by_node: Mapping[str, list[str]]


class DeviceState:
    """`registered`: healthy devices by resource, as last known. `is_new`: no agent before has written the file. Methods belong to
    the event loop.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.registered: dict[str, list[str]] = {}
        self.is_new = False
        self._entries: dict[tuple[str, str, str], Entry] = {}
        self._saver = Saver(self.path, self._snapshot)

    def load(self) -> None:
        """Nothing where there is no file. Raises BadState."""
        data = checkpoint.read(self.path)
        if data is None:
            self.is_new = True
            return
        file = checkpoint.decode(self.path, data, _File)
        entries, registered = file.data.entries or [], file.data.registered or {}
        try:
            good = file.checksum == checksum(file.data)
        except ValueError:  # no base64, no number of a node
            good = False
        if not good:
            raise BadState(self.path, "checkpoint is corrupted")
        self._entries = {(each.uid, each.container, each.resource): each for each in entries}
        self.registered = {name: list(ids) for name, ids in registered.items()}

    async def save(self) -> None:
        """Raises OSError."""
        await self._saver.save()

    def set_registered(self, resource: str, ids: list[str]) -> None:
        if self.registered.get(resource) != ids:
            self.registered[resource] = ids
            self._saver.changed()

    def add(self, uid: str, container: str, resource: str, ids_by_node: dict[str, list[str]], answer: bytes) -> None:
        self._entries[uid, container, resource] = Entry(
            uid=PodUID(uid),
            container=container,
            resource=resource,
            ids_by_node=ids_by_node,
            answer=base64.b64encode(answer).decode(),
        )
        self._saver.changed()

    def remove(self, uid: str) -> None:
        left = {key: entry for key, entry in self._entries.items() if key[0] != uid}
        if len(left) != len(self._entries):
            self._entries = left
            self._saver.changed()

    def get(self, uid: str, container: str, resource: str) -> frozenset[str]:
        entry = self._entries.get((uid, container, resource))
        return entry.ids if entry is not None else frozenset()

    def of(self, uid: str, container: str) -> Iterator[Holding]:
        for entry in self._entries.values():
            if (entry.uid, entry.container) == (uid, container):
                yield Holding(entry.resource, entry.ids, base64.b64decode(entry.answer), entry.ids_by_node)

    def used(self, resource: str) -> frozenset[str]:
        return frozenset().union(*(entry.ids for entry in self._entries.values() if entry.resource == resource))

    def holders_of(self, resource: str) -> frozenset[PodUID]:
        """The pods that have devices of it."""
        return frozenset(entry.uid for entry in self._entries.values() if entry.resource == resource)

    def uids(self) -> frozenset[PodUID]:
        return frozenset(entry.uid for entry in self._entries.values())

    def _snapshot(self) -> _File:
        registered = dict(sorted(self.registered.items()))
        data = _Data(entries=list(self._entries.values()) or None, registered=registered)
        return _File(data=data, checksum=checksum(data))


def checksum(data: _Data) -> int:
    """Over the text that Go's dump of a kubelet's structure is."""
    entries = "<nil>"
    if data.entries is not None:
        entries = f"[{' '.join(map(_entry, data.entries))}]"
    registered = _lists(sorted((data.registered or {}).items()))
    return checkpoint.fnv1a(
        f"(checkpoint.checkpointData){{PodDeviceEntries:([]checkpoint.PodDevicesEntry){entries} "
        f"RegisteredDevices:(map[string][]string){registered}}}"
    )


def _entry(entry: Entry) -> str:
    ids = _lists(sorted(entry.ids_by_node.items(), key=lambda item: int(item[0])))
    answer = " ".join(str(byte) for byte in base64.b64decode(entry.answer))
    return (
        f"{{PodUID:(string){entry.uid} ContainerName:(string){entry.container} ResourceName:(string){entry.resource} "
        f"DeviceIDs:(checkpoint.DevicesPerNUMA){ids} AllocResp:([]uint8)[{answer}]}}"
    )


def _lists(items: list[tuple[str, list[str]]]) -> str:
    return "map[" + " ".join(f"{name}:[{' '.join(ids)}]" for name, ids in items) + "]"
