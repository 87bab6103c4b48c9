"""Bytes to objects and back: single objects, lists, watch streams. No I/O.

An item of a list that does not decode (written by a newer or broken writer) is dropped with a log line, so that it never
hides the good ones.
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

log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)

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
    """One event of a watch. `object` is None for a BOOKMARK, and for an object that could not be decoded."""

    type: EventType
    object: T | None
    resource_version: str
    initial_events_end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list; `token` continues it, empty: the last one."""

    items: list[T]
    resource_version: str
    token: str


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _MetadataOnly(msgspec.Struct):
    metadata: ObjectMeta | None = None


class _RawList(msgspec.Struct):
    metadata: ListMeta | None = None
    items: list[msgspec.Raw] | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_metadata = msgspec.json.Decoder(_MetadataOnly).decode
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
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"the answer is not a valid {kind.__name__}: {error}", Fault.MALFORMED) from error


def decode_any(body: bytes) -> dict[str, Any]:
    """Return a JSON object of any shape. Raises Unavailable(MALFORMED)."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"the answer is not a JSON object: {error}", Fault.MALFORMED) from error


def decode_list(kind: type[T], body: bytes) -> Page[T]:
    """Return one page of a list. Raises Unavailable(MALFORMED)."""
    try:
        raw = _decode_raw_list(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"the answer is not a list: {error}", Fault.MALFORMED) from error
    metadata = raw.metadata or ListMeta()
    return Page(
        items=[item for data in raw.items or () if (item := _lenient(kind, data)) is not None],
        resource_version=metadata.resourceVersion or "",
        token=metadata.continue_ or "",
    )


def decode_event(kind: type[T], line: bytes) -> WatchEvent[T]:
    """Return one watch event. Raises the ApiError of an ERROR event, Unavailable(MALFORMED) for a broken line."""
    try:
        event = _decode_event(line)
        if event.type == "ERROR":
            raise errors.from_status(msgspec.json.decode(event.object, type=Status), 500)
        kind_of_event = EventType(event.type)
        item = None if kind_of_event is EventType.BOOKMARK else _lenient(kind, event.object)
        metadata: ObjectMeta | None = getattr(item, "metadata", None)
        if metadata is None:
            metadata = _decode_metadata(event.object).metadata or ObjectMeta()
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Unavailable(f"broken watch event: {error}", Fault.MALFORMED) from error
    return WatchEvent(
        type=kind_of_event,
        object=item,
        resource_version=metadata.resourceVersion or "",
        initial_events_end=(metadata.annotations or {}).get(INITIAL_EVENTS_END) == "true",
    )


def _lenient(kind: type[T], data: msgspec.Raw) -> T | None:
    try:
        decoder: msgspec.json.Decoder[T] = _decoder(kind)
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.error("ignoring a %s that cannot be decoded: %s: %.200s", kind.__name__, error, bytes(data))
        return None


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
