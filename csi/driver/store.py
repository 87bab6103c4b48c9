"""The state folder: what it holds appears whole and disappears whole, whenever the driver is killed.

    lock                        one driver a folder
    volumes/<id>/record.json    beside it the content: `data` (a directory) or `image` (a file)
    snapshots/<id>/…            the same
    groups/<id>/record.json     which snapshots were taken together: those of a group without a record were not
    node/<id>.json              where the volume is on this node

A volume is made in a folder whose name begins with a dot and then renamed; it is renamed away before it is deleted. What has a
dot is removed at the next start. All functions block, but for `draft`.
"""

import contextlib
import fcntl
import logging
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from csi import errors
from csi.driver.records import Group, NodeVolume, Snapshot, Volume
from runtimes.linux.files import replace_file, sync_file_system, sync_folder
from runtimes.linux.removal import remove_tree
from runtimes.linux.tasks import run_blocking

_RECORD = "record.json"
log = logging.getLogger(__name__)


class StateError(Exception):
    """The state folder cannot be used; the text is for the operator."""


class Record(Protocol):
    """What has a record of its own."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


K = TypeVar("K", bound=Record)


class RecordStore(Generic[K]):
    """Volumes, snapshots, or groups of these: their records in memory, their folders on the disk. `kind`: what ids begin with."""

    def __init__(self, folder: Path, record: type[K], kind: str) -> None:
        self._folder = folder
        self._record = record
        self._kind = kind
        self._all: dict[str, K] = {}

    def open(self) -> None:
        """Read what is there, and remove what was half made or half deleted. Raises StateError, OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for entry in sorted(self._folder.iterdir()):
            if entry.name.startswith("."):
                log.info("removing %s, left by an interrupted call", entry)
                remove_tree(entry)
                continue
            try:
                record = msgspec.json.decode((entry / _RECORD).read_bytes(), type=self._record)
            except (OSError, msgspec.MsgspecError) as error:
                raise StateError(f"{entry / _RECORD} cannot be read: {error}") from error
            self._all[record.id] = record

    def new_id(self) -> str:
        return f"{self._kind}-{secrets.token_hex(16)}"

    def get(self, identity: str) -> K | None:
        return self._all.get(identity)

    def known(self, identity: str) -> K:
        """Raises NotFound."""
        if (record := self.get(identity)) is None:
            raise errors.NotFound(f"no {self._record.__name__.lower()} {errors.presentable(identity)[:128]}")
        return record

    def named(self, name: str) -> K | None:
        return next((record for record in self.all() if record.name == name), None)

    def all(self) -> list[K]:
        """In the order of their ids, which never changes."""
        return [self._all[identity] for identity in sorted(self._all)]

    def place(self, record: K) -> Path:
        return self._folder / record.id

    @contextlib.asynccontextmanager
    async def draft(self) -> AsyncIterator[Path]:
        """An empty folder on the same file system; what has not been added by the end is removed, beside the event loop."""
        folder = self._folder / f".{secrets.token_hex(16)}"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            await run_blocking(remove_tree, folder)

    def add(self, record: K, draft: Path) -> None:
        """The content in `draft` is now that of `record`, on the disk. Raises OSError."""
        replace_file(draft / _RECORD, msgspec.json.encode(record))
        sync_file_system(draft)
        draft.rename(self.place(record))
        sync_folder(self._folder)
        self._all[record.id] = record

    def update(self, record: K) -> None:
        """Raises OSError: then the old one holds."""
        replace_file(self.place(record) / _RECORD, msgspec.json.encode(record))
        self._all[record.id] = record

    def remove(self, record: K) -> None:
        """Record and content. Raises OSError."""
        gone = self._folder / f".{record.id}"
        self.place(record).rename(gone)
        sync_folder(self._folder)
        del self._all[record.id]
        remove_tree(gone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """All records."""

    volumes: RecordStore[Volume]
    snapshots: RecordStore[Snapshot]
    groups: RecordStore[Group]
    node: "NodeVolumes"


class NodeVolumes:
    """Volume id -> where it is on this node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: dict[str, NodeVolume] = {}

    def open(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for entry in sorted(self._folder.iterdir()):
            if entry.name.startswith("."):
                entry.unlink()
                continue
            try:
                self._all[entry.stem] = msgspec.json.decode(entry.read_bytes(), type=NodeVolume)
            except (OSError, msgspec.MsgspecError) as error:
                raise StateError(f"{entry} cannot be read: {error}") from error

    def of(self, volume_id: str) -> NodeVolume:
        return self._all.get(volume_id) or NodeVolume(volume_id=volume_id)

    def all(self) -> list[NodeVolume]:
        return list(self._all.values())

    def keep(self, node_volume: NodeVolume) -> None:
        """Write it down; one that is empty is forgotten. Raises OSError."""
        path = self._folder / f"{node_volume.volume_id}.json"
        if node_volume.empty:
            path.unlink(missing_ok=True)
            sync_folder(self._folder)
            self._all.pop(node_volume.volume_id, None)
        else:
            replace_file(path, msgspec.json.encode(node_volume))
            self._all[node_volume.volume_id] = node_volume


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """The store in `folder`, for this process alone. Raises StateError, OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"{folder} is in use by another driver") from None
        store = Store(
            volumes=RecordStore(folder / "volumes", Volume, "vol"),
            snapshots=RecordStore(folder / "snapshots", Snapshot, "snap"),
            groups=RecordStore(folder / "groups", Group, "group"),
            node=NodeVolumes(folder / "node"),
        )
        for part in (store.volumes, store.snapshots, store.groups, store.node):
            part.open()
        for snapshot in store.snapshots.all():
            if snapshot.group_id and store.groups.get(snapshot.group_id) is None:
                log.info("removing %s, of a group that was not ended or has been deleted", snapshot.id)
                store.snapshots.remove(snapshot)
        yield store
    finally:
        os.close(lock)
