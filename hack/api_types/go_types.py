"""Go's own description of its types, read out of a compiled program.

A Go program carries a descriptor of every type that it may reflect on: kind, name, fields with their tags. That is enough to know
how `encoding/json` reads and writes a struct (pointers, `omitempty`, inlined fields), without its source. The layout is that of
the package `internal/abi` of Go 1.18 and later, for 64-bit little-endian ELF files that are not position independent.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path


class Kind(IntEnum):
    """The kinds of `reflect` that API types are made of."""

    BOOL = 1
    INT = 2
    INT32 = 5
    INT64 = 6
    UINT8 = 8
    MAP = 21
    POINTER = 22
    SLICE = 23
    STRING = 24
    STRUCT = 25


@dataclass(slots=True)
class GoField:
    """`tag` is the whole tag, such as `json:"name" protobuf:"bytes,1,opt,name=name"`."""

    name: str
    tag: str
    embedded: bool
    type: "GoType"


@dataclass(slots=True)
class GoType:
    """One type. `text` is its name as Go prints it (`v1.Container`, `[]string`); `package` is set for named structs."""

    text: str
    kind: int
    package: str = ""
    element: "GoType | None" = None
    fields: list[GoField] = field(default_factory=list)


class Program:
    """The types of one program."""

    _NAMED, _TAGGED, _EMBEDDED, _UNCOMMON, _EXTRA_STAR = 1, 2, 8, 1, 2

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        sections = {name: (address, offset, size) for name, address, offset, size in self._sections()}
        self._address, self._offset, _ = sections[".rodata"]
        _, start, size = sections[".typelink"]
        self._links = struct.unpack_from(f"<{size // 4}i", self._data, start)
        self._known: dict[int, GoType] = {}

    def structs(self) -> Iterator[GoType]:
        """Every named struct that the program's types lead to."""
        for link in self._links:
            self._type(self._address + link)
        return (found for found in self._known.values() if found.kind == Kind.STRUCT and found.package)

    def _sections(self) -> Iterator[tuple[str, int, int, int]]:
        (table,) = struct.unpack_from("<Q", self._data, 0x28)
        size, count, names = struct.unpack_from("<HHH", self._data, 0x3A)
        headers = [struct.unpack_from("<IIQQQQIIQQ", self._data, table + index * size) for index in range(count)]
        base = headers[names][4]
        for header in headers:
            end = self._data.find(b"\0", base + header[0])
            yield self._data[base + header[0] : end].decode(), header[3], header[4], header[5]

    def _at(self, address: int) -> int:
        return address - self._address + self._offset

    def _length(self, offset: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = self._data[offset]
            offset += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value, offset

    def _name(self, address: int) -> tuple[str, str, bool]:
        """Name, tag, and whether it is that of an embedded field."""
        offset = self._at(address)
        flags = self._data[offset]
        size, offset = self._length(offset + 1)
        text = self._data[offset : offset + size].decode()
        tag = ""
        if flags & self._TAGGED:
            length, start = self._length(offset + size)
            tag = self._data[start : start + length].decode()
        return text, tag, bool(flags & self._EMBEDDED)

    def _type(self, address: int) -> GoType:
        if address in self._known:
            return self._known[address]
        offset = self._at(address)
        flags, kind = self._data[offset + 20], self._data[offset + 23] & 31
        (name,) = struct.unpack_from("<i", self._data, offset + 40)
        text = self._name(self._address + name)[0]
        found = GoType(text.removeprefix("*") if flags & self._EXTRA_STAR else text, kind)
        self._known[address] = found
        match kind:
            case Kind.POINTER | Kind.SLICE:
                found.element = self._type(*struct.unpack_from("<Q", self._data, offset + 48))
            case Kind.MAP:
                found.element = self._type(struct.unpack_from("<QQ", self._data, offset + 48)[1])
            case Kind.STRUCT:
                self._read_struct(found, offset, uncommon=bool(flags & self._UNCOMMON))
        return found

    def _read_struct(self, found: GoType, offset: int, *, uncommon: bool) -> None:
        _, first, count, _ = struct.unpack_from("<QQQQ", self._data, offset + 48)
        for index in range(count):
            name, kind, _ = struct.unpack_from("<QQQ", self._data, self._at(first) + 24 * index)
            text, tag, embedded = self._name(name)
            found.fields.append(GoField(text, tag, embedded, self._type(kind)))
        if uncommon:
            (package,) = struct.unpack_from("<i", self._data, offset + 80)
            found.package = self._name(self._address + package)[0]
