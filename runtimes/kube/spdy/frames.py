"""Frame layouts (docs/facts/api-client-and-server.md M.2)."""

import enum
import struct
from dataclasses import dataclass

VERSION = 3
HEADER_BYTES = 8
MAX_CONTROL_BYTES = 1024 * 1024
FIN = 0x01


class FrameKind(enum.IntEnum):
    """Types of control frames."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class Reset(enum.IntEnum):
    """Why a stream is reset."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    CANCEL = 5
    INTERNAL_ERROR = 6
    STREAM_IN_USE = 8


class BadFrame(Exception):
    """The peer does not speak SPDY/3."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first eight bytes of a frame. `kind` None: DATA of `stream_id`."""

    kind: FrameKind | None
    stream_id: int
    flags: int
    length: int


def parse_header(raw: bytes) -> Header:
    """Raises BadFrame."""
    first, second = struct.unpack("!II", raw)
    flags, length = second >> 24, second & 0xFFFFFF
    if not first >> 31:
        if first == 0:
            raise BadFrame("data on stream 0")
        return Header(None, first, flags, length)
    if (first >> 16) & 0x7FFF != VERSION:
        raise BadFrame(f"SPDY version {(first >> 16) & 0x7FFF}")
    if length > MAX_CONTROL_BYTES:
        raise BadFrame(f"a control frame of {length} bytes")
    try:
        return Header(FrameKind(first & 0xFFFF), 0, flags, length)
    except ValueError as error:
        raise BadFrame(f"control frame of type {first & 0xFFFF}") from error


def control(kind: FrameKind, payload: bytes, flags: int = 0) -> bytes:
    return struct.pack("!HHI", 0x8000 | VERSION, kind, flags << 24 | len(payload)) + payload


def data(stream_id: int, payload: bytes, *, fin: bool = False) -> bytes:
    return struct.pack("!II", stream_id, (FIN if fin else 0) << 24 | len(payload)) + payload


def syn_reply(stream_id: int, block: bytes) -> bytes:
    return control(FrameKind.SYN_REPLY, struct.pack("!I", stream_id) + block)


def reset(stream_id: int, status: Reset) -> bytes:
    return control(FrameKind.RST_STREAM, struct.pack("!II", stream_id, status))


def goaway(last_stream_id: int) -> bytes:
    return control(FrameKind.GOAWAY, struct.pack("!II", last_stream_id, 0))


def number(payload: bytes, at: int = 0) -> int:
    """A 31-bit number of a payload. Raises BadFrame."""
    if len(payload) < at + 4:
        raise BadFrame("a control frame is cut short")
    found: int = struct.unpack_from("!I", payload, at)[0]
    return found & 0x7FFFFFFF
