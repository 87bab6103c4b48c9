"""Bytes to objects and back: single objects, lists, watch streams. No I/O.

An item of a list that does not decode (written by a newer or broken writer) is dropped with a log line, so that it never
hides the good ones. Objects are kept for long, so they come without `managedFields`:
nobody here reads them, and they are half of a pod.
"""

import enum
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from lightkube.models.meta_v1 import ListMeta, ObjectMeta, Status

from nodeagent.api import errors
from nodeagent.api.errors import Fault, Unavailable
from runtimes.kube.json_errors import UNREADABLE

log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)
Key = tuple[str, str]  # namespace ("" of a cluster-scoped object), name

MAX_LINE_BYTES = 64 * 1024 * 1024
INITIAL_EVENTS_END = "k8s.io/initial-events-end"

_encoder = msgspec.json.Encoder()


class EventType(enum.Enum):
    """What happened to an object. ERROR never reaches a caller: it is raised."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent(Generic[T]):
    """One event of a watch. `object` is None for a BOOKMARK, and for an object that could not be decoded (`key` names it)."""

    type: EventType
    object: T | None
    resource_version: str
    initial_events_end: bool = False
    key: Key = ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list; `token` continues it, empty: the last one. `unread`: what is there and could not be decoded."""

    items: list[T]
    resource_version: str
    token: str
    unread: frozenset[Key] = frozenset()


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Names(msgspec.Struct):
    """The part of metadata that says which object it is: read even where the rest does not decode."""

    name: str = ""
    namespace: str = ""
    version: str = msgspec.field(name="resourceVersion", default="")
    annotations: dict[str, str] | None = None


class _Kind(msgspec.Struct):
    kind: str = ""


class _Identity(msgspec.Struct):
    metadata: _Names = msgspec.field(default_factory=_Names)


class _RawList(msgspec.Struct):
    kind: str = ""
    metadata: ListMeta | None = None
    items: list[msgspec.Raw] | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_identity = msgspec.json.Decoder(_Identity).decode
_decode_raw_list = msgspec.json.Decoder(_RawList).decode


@lru_cache(maxsize=256)
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


def encode(obj: object) -> bytes:
    """Return the JSON of an object; fields that are not set are left out."""
    return _encoder.encode(obj)


def decode(kind: type[T], body: bytes | msgspec.Raw) -> T:
    """Return the object in `body`. Raises Unavailable(MALFORMED): the server is not what it should be."""
    try:
        decoder: msgspec.json.Decoder[T] = _decoder(kind)
        obj = decoder.decode(body)
        found = _decode_kind(body).kind  # not the model's, which sets its own
    except UNREADABLE as error:
        raise Unavailable(f"the answer is not a valid {kind.__name__}: {error}", Fault.MALFORMED) from error
    if found != kind.__name__:
        raise Unavailable(f"the answer is not a {kind.__name__}, its kind is {found!r}", Fault.MALFORMED)
    metadata = _metadata(obj)
    if not metadata.name:
        raise Unavailable(f"the answer is not a {kind.__name__}: it has no name", Fault.MALFORMED)
    metadata.managedFields = None
    return obj


def decode_any(body: bytes) -> dict[str, Any]:
    """Return a JSON object of any shape. Raises Unavailable(MALFORMED)."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except UNREADABLE as error:
        raise Unavailable(f"the answer is not a JSON object: {error}", Fault.MALFORMED) from error


def decode_list(kind: type[T], body: bytes) -> Page[T]:
    """Return one page of a list. Raises Unavailable(MALFORMED).

    What is no list of this kind must never pass for an empty one: everything that is missing from a list counts as gone.
    """
    try:
        raw = _decode_raw_list(body)
    except UNREADABLE as error:
        raise Unavailable(f"the answer is not a list: {error}", Fault.MALFORMED) from error
    if raw.kind != f"{kind.__name__}List":
        raise Unavailable(f"the answer is not a {kind.__name__}List, its kind is {raw.kind!r}", Fault.MALFORMED)
    metadata = raw.metadata or ListMeta()
    items, unread = [], set()
    for data in raw.items or ():
        item, key = _lenient(kind, data)
        if item is None:
            unread.add(key)
        else:
            items.append(item)
    return Page(
        items=items,
        resource_version=metadata.resourceVersion or "",
        token=metadata.continue_ or "",
        unread=frozenset(unread),
    )


def decode_event(kind: type[T], line: bytes) -> WatchEvent[T]:
    """Return one watch event. Raises the ApiError of an ERROR event, Unavailable(MALFORMED) for a broken line."""
    try:
        event = _decode_event(line)
        if event.type == "ERROR":
            raise errors.from_status(msgspec.json.decode(event.object, type=Status), 500)
        kind_of_event = EventType(event.type)
        found = _decode_kind(event.object).kind
        if found != kind.__name__:
            raise Unavailable(f"broken watch event: its object is a {found!r}, not a {kind.__name__}", Fault.MALFORMED)
        if kind_of_event is EventType.BOOKMARK:
            return _bookmark(_decode_identity(event.object).metadata)
        item, key = _lenient(kind, event.object)
        # each look at the text costs: it is read twice, once for its kind, and a third time only where it does not decode
        version = (
            _metadata(item).resourceVersion if item is not None else _decode_identity(event.object).metadata.version
        )
    except UNREADABLE as error:
        raise Unavailable(f"broken watch event: {error}", Fault.MALFORMED) from error
    return WatchEvent(type=kind_of_event, object=item, resource_version=version or "", key=key)


def _bookmark(names: _Names) -> WatchEvent[Any]:
    return WatchEvent(
        type=EventType.BOOKMARK,
        object=None,
        resource_version=names.version,
        initial_events_end=(names.annotations or {}).get(INITIAL_EVENTS_END) == "true",
    )


def _lenient(kind: type[T], data: msgspec.Raw) -> tuple[T | None, Key]:
    """The object, or None for one that does not decode, and which it is. Raises Unavailable(MALFORMED) for no object."""
    try:
        decoder: msgspec.json.Decoder[T] = _decoder(kind)
        item = decoder.decode(data)
    except UNREADABLE as error:
        key = _identified(kind, data)
        log.error("ignoring a %s that cannot be decoded: %s: %.200s", kind.__name__, error, bytes(data))
        return None, key
    metadata = _metadata(item)
    if not metadata.name:
        raise Unavailable(f"not a {kind.__name__}: it has no name", Fault.MALFORMED)
    metadata.managedFields = None
    return item, (metadata.namespace or "", metadata.name)


def _metadata(obj: msgspec.Struct) -> ObjectMeta:
    found: ObjectMeta | None = getattr(obj, "metadata", None)
    return found or ObjectMeta()


def _identified(kind: type[msgspec.Struct], data: msgspec.Raw) -> Key:
    try:
        names = _decode_identity(data).metadata
    except UNREADABLE as error:
        raise Unavailable(f"not a {kind.__name__}: {error}", Fault.MALFORMED) from error
    if not names.name:
        raise Unavailable(f"not a {kind.__name__}: it has no name", Fault.MALFORMED)
    return names.namespace, names.name


class LineSplitter:
    """Cuts a byte stream into non-empty lines. Raises Unavailable when one is larger than any object may be."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that `chunk` completes."""
        *complete, tail = chunk.split(b"\n")
        for line in complete:
            if self._parts:
                line = b"".join((*self._parts, line))
                self._parts.clear()
                self._size_bytes = 0
            if line.strip():
                yield line
        if tail:
            self._parts.append(tail)
            self._size_bytes += len(tail)
            if self._size_bytes > MAX_LINE_BYTES:
                raise Unavailable(f"a watch event is larger than {MAX_LINE_BYTES} bytes", Fault.MALFORMED)

    def rest(self) -> bytes:
        """Return what stands after the last line break: an event cut short, or one without a line break."""
        return b"".join(self._parts).strip()
