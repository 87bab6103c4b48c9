"""The images of a store: one JSON file each, read once and kept in memory, found by any of their names.

Another process may add and remove images too (`nodeagent image import` beside a running agent). Every look compares the
folder's modification time, one stat(2), and reads again only what changed.

Records of before there were pins have none, and their images are not pinned: how they came is not known any more, and a node
whose old images all stayed would fill up.
"""

import dataclasses
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from runtimes.kube.image_reference import InvalidReference, is_digest, parse
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.files import replace_file, sync_folder
from runtimes.linux.removal import remove_tree
from runtimes.oci.images.contract import ImageRecord
from runtimes.oci.images.layout import Layout, hex_of
from runtimes.oci.images.lock import exclusive

log = logging.getLogger(__name__)

_SHORT_ID = re.compile(r"(?:sha256:)?([a-f0-9]{1,64})")
# A folder changed this recently may change again without its time moving on: the kernel's clock for files is coarse.
_RACY_NANOSECONDS = 50_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    stamp: tuple[int, int, int]  # mtime, inode, size of the file
    record: ImageRecord


class Records:
    """All records of a store. Methods do a few file operations at most and never wait for the network."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._entries: dict[str, _Entry] = {}  # by file name
        self._names: dict[str, ImageRecord] = {}  # by id, tag, digest
        self._seen: int | None = None
        self._loading = threading.Lock()  # `add` and `remove` may run off the event loop

    def __iter__(self) -> Iterator[ImageRecord]:
        self._refresh()
        return iter([entry.record for entry in self._entries.values()])

    def get(self, image_id: str) -> ImageRecord | None:
        self._refresh()
        return self._names.get(image_id)

    def find(self, name: str) -> ImageRecord | None:
        """By id, tag, digest reference or unique short id, in this order."""
        self._refresh()
        record = self._names.get(name) or self._names.get(f"sha256:{name}")
        return record or self._names.get(_normalised(name)) or self._by_short_id(name)

    def _by_short_id(self, name: str) -> ImageRecord | None:
        match = _SHORT_ID.fullmatch(name)
        if match is None:
            return None
        prefix = f"sha256:{match[1]}"
        fitting = [entry.record for entry in self._entries.values() if entry.record.id.startswith(prefix)]
        return fitting[0] if len(fitting) == 1 else None

    def add(self, record: ImageRecord, *, pinned: bool | None = None) -> ImageRecord:
        """Store an image, or add its names to the one that is there; its tags leave the images that had them. Durable.

        `pinned` pins or unpins the names that `record` brings (its id where it brings none); None: as they are.
        """
        with exclusive(self._layout.records / ".lock"):
            self._forget()
            old = self._names.get(record.id)
            losing = [
                entry.record
                for entry in self._entries.values()
                if entry.record.id != record.id and set(entry.record.tags) & set(record.tags)
            ]
            brought = record.tags or (record.id,)
            pins = dict.fromkeys(old.pins if old is not None else ())
            pins |= dict.fromkeys(pin for loser in losing for pin in loser.pins if pin in record.tags)
            if pinned is not None:
                pins = {pin: None for pin in pins if pin not in brought} | dict.fromkeys(brought if pinned else ())
            record = dataclasses.replace(record, pins=tuple(pins))
            if old is not None:
                record = dataclasses.replace(
                    record,
                    tags=tuple(dict.fromkeys((*old.tags, *record.tags))),
                    digests=tuple(dict.fromkeys((*old.digests, *record.digests))),
                )
            # The new owner first: after a kill in between, both have the tag and the newer file wins.
            self._write(record)
            for loser in losing:
                self._write(_keeping(loser, lambda tag: tag not in record.tags))
            self._forget()
            return self._names[record.id]  # under the lock: the next moment somebody may remove it again

    def pin(self, name: str) -> ImageRecord | None:
        """Pin the tag, or the image by its id where `name` is no tag of it; None when there is none. Durable."""

        def pins(record: ImageRecord) -> tuple[str, ...]:
            pin = _normalised(name) if _normalised(name) in record.tags else record.id
            return tuple(dict.fromkeys((*record.pins, pin)))

        return self._repin(name, pins)

    def unpin(self, name: str) -> ImageRecord | None:
        """Drop all pins of the image of that name; None when there is none. Durable."""
        return self._repin(name, lambda record: ())

    def _repin(self, name: str, pins: Callable[[ImageRecord], tuple[str, ...]]) -> ImageRecord | None:
        with exclusive(self._layout.records / ".lock"):
            self._forget()
            record = self.find(name)
            if record is None or record.pins == pins(record):
                return record
            self._write(dataclasses.replace(record, pins=pins(record)))
            self._forget()
            return self._names[record.id]

    def remove(self, image_id: str) -> None:
        """Forget an image; its files become garbage. Nothing there is fine."""
        with exclusive(self._layout.records / ".lock"):
            self._layout.record(image_id).unlink(missing_ok=True)
            sync_folder(self._layout.records)
            self._forget()

    def remove_unreadable(self) -> None:
        """Delete files that are not records (a broken disk, a newer version's format)."""
        self._refresh()
        for path in self._layout.records.glob("*.json"):
            if path.name not in self._entries:
                log.error("removed unreadable image record %s", path)
                remove_tree(path)

    def _write(self, record: ImageRecord) -> None:
        document = {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.name != "rootfs"}
        replace_file(self._layout.record(record.id), msgspec.json.encode(document), beside=self._layout.tmp)

    def _forget(self) -> None:
        """Look again, whatever the folder's time says."""
        with self._loading:
            self._seen = None
        self._refresh()

    def _refresh(self) -> None:
        with self._loading:
            changed = self._layout.records.stat().st_mtime_ns
            if changed != self._seen:
                now = time.time_ns()
                self._load()
                self._seen = changed if now - changed > _RACY_NANOSECONDS else None

    def _load(self) -> None:
        entries: dict[str, _Entry] = {}
        for path in self._layout.records.glob("*.json"):
            try:
                stat = path.stat()
                stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
                known = self._entries.get(path.name)
                if known is not None and known.stamp == stamp:
                    entries[path.name] = known
                else:
                    entries[path.name] = _Entry(stamp, self._read(path))
            except FileNotFoundError:
                continue
            except (OSError, TypeError, *UNREADABLE) as error:
                log.warning("image record %s cannot be read: %s", path, error)
        self._entries = entries
        self._index()

    def _read(self, path: Path) -> ImageRecord:
        document: dict[str, Any] = json.loads(path.read_bytes())
        image_id = document["id"] if isinstance(document, dict) and isinstance(document.get("id"), str) else ""
        if not is_digest(image_id) or f"{hex_of(image_id)}.json" != path.name:
            raise ValueError("it is not the record of the image that its name says")
        rootfs = self._layout.rootfs(image_id)
        return msgspec.convert(
            {**document, "rootfs": str(rootfs)},
            type=ImageRecord,
            dec_hook=lambda kind, value: Path(value) if kind is Path else value,
        )

    def _index(self) -> None:
        names: dict[str, ImageRecord] = {}
        owner: dict[str, str] = {}
        oldest_first = sorted(self._entries.values(), key=lambda entry: entry.stamp)
        for entry in oldest_first:
            for tag in entry.record.tags:
                owner[tag] = entry.record.id
        for entry in oldest_first:
            record = _without_lost_tags(entry.record, owner)
            for name in (record.id, *record.tags, *record.digests):
                names[name] = record
        self._names = names
        self._entries = {
            hex_of(e.record.id) + ".json": dataclasses.replace(e, record=names[e.record.id]) for e in oldest_first
        }


def _without_lost_tags(record: ImageRecord, owner: Mapping[str, str]) -> ImageRecord:
    lost = {tag for tag in record.tags if owner[tag] != record.id}
    return _keeping(record, lambda tag: tag not in lost) if lost else record


def _keeping(record: ImageRecord, keep: Callable[[str], bool]) -> ImageRecord:
    """The record with those of its tags, and their pins, that `keep` says."""
    return dataclasses.replace(
        record, tags=tuple(filter(keep, record.tags)), pins=tuple(pin for pin in record.pins if keep(pin))
    )


def _normalised(name: str) -> str:
    try:
        return str(parse(name))
    except InvalidReference:
        return name
