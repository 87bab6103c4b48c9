"""From JSON to an object as Go's decoder and the storage behind it leave it: nothing in it that says nothing.

The result of `decode` has only fields that the type knows. A field that is no pointer and holds its zero value (`0`, `""`,
`false`, `[]`, `{}`) is left out, as null is: Go cannot tell them apart. Elements of lists and values of maps stay, null as
the zero value. Scalars are in their written form (quantities, times, base64). `encode.py` adds what Go writes in any case.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from nodeagent.apitypes.scalars import Mismatch, Refused, json_name, reader_of
from nodeagent.apitypes.schema import Field, ListOf, MapOf, Scalar, Struct, Type, struct
from runtimes.kube.json_object import JsonObject

Unknown = list[str]
_Reader = Callable[[Any, Unknown], Any]
"""Takes a value that is not null, notes unknown fields in it. A field's reader returns None for what is as good as absent."""


class Decoded(NamedTuple):
    """`unknown`: dotted paths of the fields that the type lacks, in the order of the body."""

    value: JsonObject
    unknown: Unknown


def decode(kind: Struct, value: Any) -> Decoded:
    """Read `value` as `kind`; the result shares nothing with it. Raises `Mismatch` and `Refused`, in Go's words."""
    if type(value) is not dict:
        raise Refused(f"json: cannot unmarshal {json_name(value)} into Go value of type {kind.go}")
    unknown: Unknown = []
    return Decoded(_struct_reader(kind.name)(value, unknown), unknown)


def reread(kind: Struct, value: JsonObject) -> JsonObject:
    """As `decode` for an object of this server's own. One that does not fit its type, as an older release may have stored
    it, comes back itself."""
    try:
        return decode(kind, value).value
    except (Mismatch, Refused):
        return value


@cache
def _struct_reader(name: str) -> _Reader:
    kind = struct(name)
    short, go = kind.short, kind.go
    readers: dict[str, _Reader] = {}

    def read(value: Any, unknown: Unknown) -> Any:
        if type(value) is not dict:
            raise Mismatch(value, go, "struct")
        if not readers:  # made when first needed: types may refer to themselves
            readers.update((field.name, _field_reader(field)) for field in kind.fields.values())
        found = {}
        seen = len(unknown)
        for key, item in value.items():
            reader = readers.get(key)
            if reader is None:
                unknown.append(key)
                seen += 1
                continue
            if item is None:
                continue
            try:
                item = reader(item, unknown)
            except Mismatch as error:
                error.owner = error.owner or short
                error.steps.append(key)
                raise
            except Refused as error:
                error.steps.append(key)
                raise
            if item is not None:
                found[key] = item
            if len(unknown) > seen:
                _prefix(unknown, seen, key)
                seen = len(unknown)
        return found

    return read


def _field_reader(field: Field) -> _Reader:
    read = _reader(field.type)
    if isinstance(field.type, Scalar):
        if field.pointer:
            return read
        return _unless_zero(field.type, read)
    if isinstance(field.type, Struct) and field.pointer:
        return read
    return lambda value, unknown: read(value, unknown) or None


def _unless_zero(scalar: Scalar, read: _Reader) -> _Reader:
    match scalar.name:
        case "quantity":
            return lambda value, unknown: None if (found := read(value, unknown)) == "0" else found
        case "int-or-string":
            # an empty text is a text all the same
            return lambda value, unknown: None if (found := read(value, unknown)) == 0 else found
        case "string":
            go = scalar.go

            def text(value: Any, unknown: Unknown) -> Any:
                if type(value) is str:
                    return value or None
                raise Mismatch(value, go, "string")

            return text
    return lambda value, unknown: read(value, unknown) or None


def _reader(kind: Type) -> _Reader:
    match kind:
        case Scalar():
            read = reader_of(kind)
            return lambda value, unknown: read(value)
        case Struct():
            return _struct_reader(kind.name)
        case ListOf():
            return _list_reader(kind)
        case MapOf():
            return _map_reader(kind)


def _list_reader(kind: ListOf) -> _Reader:
    go, item_reader, zero = kind.go, _reader(kind.item), zero_of(kind.item)
    plain = isinstance(kind.item, Scalar)

    def read(value: Any, unknown: Unknown) -> Any:
        if type(value) is not list:
            raise Mismatch(value, go, "slice")
        if plain:
            return [zero() if item is None else item_reader(item, unknown) for item in value]
        found = []
        seen = len(unknown)
        for index, item in enumerate(value):
            found.append(zero() if item is None else item_reader(item, unknown))
            if len(unknown) > seen:
                _prefix(unknown, seen, f"[{index}]")
                seen = len(unknown)
        return found

    return read


def _map_reader(kind: MapOf) -> _Reader:
    go, item_reader, zero = kind.go, _reader(kind.item), zero_of(kind.item)

    def read(value: Any, unknown: Unknown) -> Any:
        if type(value) is not dict:
            raise Mismatch(value, go, "map")
        return {key: zero() if item is None else item_reader(item, unknown) for key, item in value.items()}

    return read


_ZEROS: Mapping[str, Any] = {"string": "", "bool": False, "int32": 0, "int64": 0, "int-or-string": 0} | {
    "bytes": "",
    "quantity": "0",
}


def zero_of(kind: Type) -> Callable[[], Any]:
    """Makes what null is as an element of a list or a map; None for times and free JSON, whose zero is null."""
    match kind:
        case Struct() | MapOf():
            return dict
        case ListOf():
            return list
        case Scalar():
            zero = _ZEROS.get(kind.name)
            return lambda: zero


def _prefix(paths: Unknown, start: int, step: str) -> None:
    for index in range(start, len(paths)):
        dot = "" if paths[index].startswith("[") else "."
        paths[index] = f"{step}{dot}{paths[index]}"
