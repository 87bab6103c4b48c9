"""What an API type means to a merge, compiled once a type from the table of types."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

from typing_extensions import override

from nodeagent.apiserver.apply import elements
from nodeagent.apitypes.schema import ZEROS, Field, ListOf, MapOf, Scalar, Struct, Type

ScalarCheck = Literal["numeric", "string", "boolean", "any"]

_CHECKS: Mapping[str, ScalarCheck] = {
    "string": "string",
    "bytes": "string",
    "duration": "string",
    "bool": "boolean",
    "int32": "numeric",
    "int64": "numeric",
    "float64": "numeric",
}
# what Go writes for a scalar that is a struct of its own: omitempty does not leave it out
_STRUCT_SCALARS: Mapping[str, Any] = {"time": None, "micro-time": None, "quantity": "0", "duration": "0s"}


class NoElement(ValueError):
    """A list element that cannot be distinguished from the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """Owned as one: a scalar. `check`: what JSON values it may have."""

    check: ScalarCheck = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Atomic:
    """Owned as one: a list, map or struct that is replaced as a whole. `inner` is for checking only."""

    inner: "Shape"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyMap:
    """A map each of whose keys has its own owner."""

    item: "Shape"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A list without identities; always inside of an `Atomic`."""

    item: "Shape"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSet:
    """A list of scalars that are known by their values."""

    item: "Shape"

    def element(self, item: Any) -> str:
        """Raises `NoElement`."""
        if isinstance(item, dict):
            raise NoElement("associative list without keys has an element that's a map type")
        if isinstance(item, list):
            raise NoElement("not supported: associative list with lists as elements")
        if item is None:
            raise NoElement("associative list without keys has an element that's an explicit null")
        return elements.of_value(item)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedList:
    """A list of structs that are known by some of their fields. `keys`: sorted names with their defaults."""

    item: "Shape"
    keys: tuple[tuple[str, Any], ...]

    def element(self, item: Any) -> str:
        """Raises `NoElement`."""
        if item is None:
            raise NoElement("associative list with keys may not have a null element")
        if not isinstance(item, dict):
            raise NoElement("associative list with keys may not have non-map elements")
        pairs = []
        for name, default in self.keys:
            value = item.get(name, default) if name in item or default is not None else _missing(name)
            pairs.append((name, value))
        return elements.of_keys(pairs)


def _missing(name: str) -> Any:
    raise NoElement(
        f'associative list with keys has an element that omits key field "{name}" (and doesn\'t have default value)'
    )


class StructShape:
    """A struct each of whose fields has its own owner.

    `always`: the fields that a typed object has in any case, with their zero values. What differs in them was changed,
    never added or removed.
    """

    def __init__(self, struct: Struct) -> None:
        self._struct = struct

    @cached_property
    def fields(self) -> Mapping[str, "Shape"]:
        return {field.name: shape_of(field.type) for field in self._struct.fields.values()}

    @cached_property
    def always(self) -> Mapping[str, Any]:
        found = ((field.name, _zero(field)) for field in self._struct.fields.values())
        return {name: zero for name, zero in found if zero is not ABSENT}


Shape = Leaf | Atomic | AnyMap | Sequence | ValueSet | KeyedList | StructShape


class _Absent:
    """The one value that stands for no value."""

    @override
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


def _zero(field: Field) -> Any:
    """What Go writes of an untouched field; `ABSENT` for nothing."""
    kind = field.type
    if field.omitzero or (field.pointer and field.omitempty):
        return ABSENT
    if field.pointer:
        return None
    if isinstance(kind, Struct):
        return {}
    if isinstance(kind, Scalar) and kind.name in _STRUCT_SCALARS:
        return _STRUCT_SCALARS[kind.name]
    if field.omitempty:
        return ABSENT
    if isinstance(kind, Scalar) and kind.name == "int-or-string":
        return 0
    return ZEROS.get(kind.name) if isinstance(kind, Scalar) else None


@cache
def shape_of(kind: Type) -> Shape:
    match kind:
        case Scalar():
            return Leaf(check=_CHECKS.get(kind.name, "any"))
        case ListOf():
            return _list(kind)
        case MapOf():
            inner = AnyMap(item=shape_of(kind.item))
            return Atomic(inner=inner) if kind.atomic else inner
    found = _struct(kind.name)
    return Atomic(inner=found) if kind.atomic else found


@cache
def _struct(name: str) -> StructShape:
    return StructShape(Struct(name=name))


def _list(kind: ListOf) -> Shape:
    item = shape_of(kind.item)
    if kind.list_type == "set":
        return ValueSet(item=item)
    if kind.list_type == "map" and isinstance(kind.item, Struct):
        fields = kind.item.fields
        return KeyedList(item=item, keys=tuple((name, fields[name].schema_default) for name in sorted(kind.keys)))
    return Atomic(inner=Sequence(item=item))
