"""The table of the API's types (api_types.json, made by hack/generate-api-types), as values.

A type of the table is a list of lines, one a field: `name expression flags…`. The expression is a scalar (`SCALARS`), the
name of another type (`core.v1.Container`), `*T` for a pointer, `[]T`, `[set]T` and `[map:key,key]T` for lists, `map<T>` for a
map of strings to T. Flags: `omitempty`, `omitzero`, `required`, `atomic` (the value is merged as a whole), `default=JSON`,
`strategy=` and `key=` (strategic merge patches), `go=` and `of=` (Go's names of the type and of its elements, where they are
no plain ones). A first line `@atomic` says so of the whole struct.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any, Literal

ScalarName = Literal[
    "string",
    "bool",
    "int32",
    "int64",
    "bytes",
    "quantity",
    "int-or-string",
    "time",
    "micro-time",
    "json",
]
ListType = Literal["atomic", "set", "map"]

_LIST = re.compile(r"\[(set|map:([\w,]+))?\](.+)")
_GO_SCALARS: Mapping[str, str] = {
    "bytes": "[]uint8",
    "quantity": "resource.Quantity",
    "int-or-string": "intstr.IntOrString",
    "time": "v1.Time",
    "micro-time": "v1.MicroTime",
    "json": "v1.FieldsV1",
}
SCALARS = frozenset({"string", "bool", "int32", "int64", *_GO_SCALARS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A value without parts. `json` is any value at all."""

    name: ScalarName
    go: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOf:
    """`list_type` says what makes elements the same: nothing (atomic), their value (set), the fields `keys` (map)."""

    item: "Type"
    go: str
    list_type: ListType = "atomic"
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOf:
    """A map from strings. `atomic`: it is merged as a whole."""

    item: "Type"
    go: str
    atomic: bool = False


@dataclass(frozen=True, kw_only=True)
class Struct:
    """A struct by its name in the table (`core.v1.Container`). `atomic`: it is merged as a whole."""

    name: str
    atomic: bool = False

    @property
    def go(self) -> str:
        """`v1.Container`."""
        return self.name.partition(".")[2]

    @property
    def short(self) -> str:
        """`Container`."""
        return self.name.rpartition(".")[2]

    @cached_property
    def fields(self) -> Mapping[str, "Field"]:
        """By their JSON names, in the order of the table. Read when first asked for: types may refer to themselves."""
        return {field.name: field for field in map(_field, _table()["types"][self.name]) if field is not None}


Type = Scalar | ListOf | MapOf | Struct


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field.

    `pointer`: absent and zero are two things. `omitempty`: left out when empty, which a struct that is no pointer never is;
    `omitzero`: left out when zero, structs too. `default`: the documented one, None without. `strategy` and `key` are those
    of strategic merge patches.
    """

    name: str
    type: Type
    pointer: bool = False
    omitempty: bool = False
    omitzero: bool = False
    required: bool = False
    default: Any = None
    strategy: tuple[str, ...] = ()
    key: str = ""

    @property
    def schema_default(self) -> Any:
        """What OpenAPI calls the default: the documented one, else the zero of a scalar that is always written; else None."""
        if self.default is not None or self.omitempty or self.pointer or not isinstance(self.type, Scalar):
            return self.default
        return ZEROS.get(self.type.name)


ZEROS: Mapping[str, Any] = {"string": "", "bool": False, "int32": 0, "int64": 0}


def struct_for(api_version: str, kind: str) -> Struct | None:
    """The struct of a served kind (`v1`, `Pod`), None for any other."""
    name = _table()["kinds"].get(f"{api_version} {kind}")
    return None if name is None else struct(name)


def is_registered(api_version: str, kind: str) -> bool:
    """Whether the API has this kind at all, served here or not."""
    found: str = _table()["registered"].get(api_version, "")
    return kind in found.split()


@cache
def struct(name: str) -> Struct:
    """The struct of that name in the table. Raises KeyError."""
    lines = _table()["types"][name]
    return Struct(name=name, atomic=lines[:1] == ["@atomic"])


def kinds() -> Mapping[str, str]:
    """`v1 Pod` -> `core.v1.Pod` for every served kind."""
    found: Mapping[str, str] = _table()["kinds"]
    return found


@cache
def table_digest() -> str:
    """Changes when the table does."""
    return hashlib.sha256(_text()).hexdigest()


@cache
def _table() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(_text())
    return found


def _text() -> bytes:
    return resources.files(__package__).joinpath("api_types.json").read_bytes()


def _field(line: str) -> Field | None:
    if line.startswith("@"):
        return None
    name, expression, *words = line.split(" ")
    flags = dict.fromkeys(words) | dict(word.split("=", 1) for word in words if "=" in word)
    pointer = expression.startswith("*")
    default = flags.get("default")
    return Field(
        name=name,
        type=_type(expression.removeprefix("*"), flags.get("go"), flags.get("of"), atomic="atomic" in flags),
        pointer=pointer,
        omitempty="omitempty" in flags,
        omitzero="omitzero" in flags,
        required="required" in flags,
        default=None if default is None else json.loads(default),
        strategy=tuple((flags.get("strategy") or "").split(",")) if flags.get("strategy") else (),
        key=flags.get("key") or "",
    )


def _type(expression: str, go: str | None, of: str | None, *, atomic: bool = False) -> Type:
    if found := _LIST.fullmatch(expression):
        item = _type(found[3], of, None)
        kind: ListType = "map" if found[2] else "set" if found[1] else "atomic"
        return ListOf(
            item=item,
            go=go or f"[]{item.go}",
            list_type=kind,
            keys=tuple((found[2] or "").split(",")) if found[2] else (),
        )
    if expression.startswith("map<"):
        item = _type(expression[4:-1], of, None)
        return MapOf(item=item, go=go or f"map[string]{item.go}", atomic=atomic)
    if expression in SCALARS:
        return Scalar(name=expression, go=go or _GO_SCALARS.get(expression, expression))  # type: ignore[arg-type]
    found_struct = struct(expression)
    return Struct(name=expression, atomic=True) if atomic and not found_struct.atomic else found_struct
