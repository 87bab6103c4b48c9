"""Sets, maps and their elements: what each field of a key or of a value is, as bytes and in words."""

import ipaddress
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import override

from cni.native.attributes import attribute, nest, number, parse, string, text
from cni.native.nftables.expressions import VERDICTS

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}

Value = str | int
Values = tuple[Value, ...]


class Field(Protocol):
    """One part of a key: `nft`'s number of its type, and its length in bytes."""

    type_id: int
    length: int

    def encode(self, value: Value) -> bytes:
        """The value as it stands in the kernel's registers."""
        ...

    def decode(self, raw: bytes) -> Value:
        """The value that `encode` made these bytes of."""
        ...


class _Address(Field):
    def __init__(self, type_id: int, length: int) -> None:
        self.type_id, self.length = type_id, length

    @override
    def encode(self, value: Value) -> bytes:
        return ipaddress.ip_address(value).packed

    @override
    def decode(self, raw: bytes) -> Value:
        return str(ipaddress.ip_address(raw))


class _Protocol(Field):
    type_id, length = 12, 1

    @override
    def encode(self, value: Value) -> bytes:
        return bytes([PROTOCOLS[str(value)]])

    @override
    def decode(self, raw: bytes) -> Value:
        return _PROTOCOL_NAMES.get(raw[0], str(raw[0]))


class _Port(Field):
    type_id, length = 13, 2

    @override
    def encode(self, value: Value) -> bytes:
        return int(value).to_bytes(2, "big")

    @override
    def decode(self, raw: bytes) -> Value:
        return int.from_bytes(raw, "big")


class _Number(Field):
    """A number of 32 bits in the host's order, as numbers are that rules draw."""

    type_id, length = 4, 4

    @override
    def encode(self, value: Value) -> bytes:
        return int(value).to_bytes(4, sys.byteorder)

    @override
    def decode(self, raw: bytes) -> Value:
        return int.from_bytes(raw, sys.byteorder)


class _Interface(Field):
    type_id, length = 41, 16

    @override
    def encode(self, value: Value) -> bytes:
        return str(value).encode().ljust(16, b"\0")

    @override
    def decode(self, raw: bytes) -> Value:
        return raw.rstrip(b"\0").decode(errors="replace")


IPV4_ADDRESS: Field = _Address(7, 4)
IPV6_ADDRESS: Field = _Address(8, 16)
PROTOCOL: Field = _Protocol()
PORT: Field = _Port()
NUMBER: Field = _Number()
INTERFACE: Field = _Interface()

_TYPE_BITS = 6  # nft's way to write the types of several fields as one number


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The fields of a key or of a map's value, in their order."""

    fields: tuple[Field, ...]

    @property
    def type_id(self) -> int:
        number = 0
        for field in self.fields:
            number = number << _TYPE_BITS | field.type_id
        return number

    @property
    def byte_order(self) -> int:
        """For `nft`, which shows keys by it: 1, the host's, for names; 2, the network's; 0 for several fields."""
        return 0 if len(self.fields) > 1 else 1 if self.fields[0] in (INTERFACE, NUMBER) else 2

    @property
    def length(self) -> int:
        """In bytes. In a key of several fields each begins with a register."""
        if len(self.fields) == 1:
            return self.fields[0].length
        return sum(_padded(field.length) for field in self.fields)

    def encode(self, values: Sequence[Value]) -> bytes:
        parts = [field.encode(value) for field, value in zip(self.fields, values, strict=True)]
        return parts[0] if len(parts) == 1 else b"".join(part.ljust(_padded(len(part)), b"\0") for part in parts)

    def decode(self, raw: bytes) -> Values:
        values, offset = [], 0
        for field in self.fields:
            values.append(field.decode(raw[offset : offset + field.length]))
            offset += _padded(field.length)
        return tuple(values)

    def as_data(self, values: Sequence[Value]) -> bytes:
        """What stands in an element for a key or a value."""
        return attribute(1, self.encode(values))

    def of_data(self, raw: bytes) -> Values:
        return self.decode(parse(raw)[1])


class _Verdict(Layout):
    """The values of a verdict map: ("drop",), ("goto", chain)."""

    @property
    @override
    def type_id(self) -> int:
        return 0xFFFFFF00  # NFT_DATA_VERDICT

    @property
    @override
    def length(self) -> int:
        return 0

    @override
    def as_data(self, values: Sequence[Value]) -> bytes:
        code = number(1, VERDICTS[str(values[0])])
        return nest(2, code, *(text(2, str(chain)) for chain in values[1:]))

    @override
    def of_data(self, raw: bytes) -> Values:
        found = parse(parse(raw)[2])
        code = int.from_bytes(found[1], "big", signed=True)
        word = next((word for word, number in VERDICTS.items() if number == code), str(code))
        return (word, string(found[2])) if 2 in found else (word,)


VERDICT: Layout = _Verdict(fields=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of a set, or one entry of a map, with its comment (at most 253 bytes)."""

    key: Values
    value: Values | None = None
    comment: str = ""

    @override
    def __str__(self) -> str:
        key = " . ".join(map(str, self.key))
        return key if self.value is None else f"{key} : {' . '.join(map(str, self.value))}"


@dataclass(frozen=True, slots=True)
class Set:
    """A set, or with `value` a map. `name` is its name in its table. `dynamic`: rules fill it, and what they put in ends."""

    name: str
    key: Layout
    value: Layout | None = None
    dynamic: bool = False

    @override
    def __hash__(self) -> int:
        return hash(self.name)  # sets are keys of many dictionaries


def layout(*fields: Field) -> Layout:
    return Layout(fields=fields)


def _padded(length: int) -> int:
    return length + 3 & ~3
