"""Netlink attributes as bytes: type, length, payload, padded to four bytes (linux/netlink.h)."""

import struct
from collections.abc import Iterator

_HEADER = struct.Struct("=HH")
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute with its padding."""
    return _HEADER.pack(len(payload) + 4, kind) + payload + bytes(-len(payload) % 4)


def nest(kind: int, *inside: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | _NESTED, b"".join(inside))


def text(kind: int, value: str) -> bytes:
    """A string, ended by NUL."""
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """32 bits, signed or not, most significant byte first: nfnetlink's order."""
    return attribute(kind, (value & 0xFFFFFFFF).to_bytes(4, "big"))


def each(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of every attribute in `data`, in order. What is cut off at the end is left out."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = _HEADER.unpack_from(data, offset)
        if length < 4 or offset + length > len(data):
            return
        yield kind & _TYPE_MASK, data[offset + 4 : offset + length]
        offset += length + 3 & ~3


def parse(data: bytes) -> dict[int, bytes]:
    """The attributes in `data` by their type."""
    return dict(each(data))


def string(payload: bytes) -> str:
    """The text of a string attribute."""
    return payload.partition(b"\0")[0].decode(errors="replace")
