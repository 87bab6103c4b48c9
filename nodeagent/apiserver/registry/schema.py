"""The shape of a kind, read off its model: fields, types, merge keys, descriptions. Feeds patches and OpenAPI."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import msgspec

from nodeagent.apiserver.registry.merge_keys import MERGES, Merge

Leaf = Literal[
    "string", "integer", "boolean", "number", "time", "micro-time", "quantity", "int-or-string", "any", "map"
]

_LEAVES: Final[Mapping[str, Leaf]] = {
    "str": "string",
    "int": "integer",
    "bool": "boolean",
    "float": "number",
    "Time": "time",
    "datetime": "time",
    "MicroTime": "micro-time",
    "Quantity": "quantity",
    "IntOrString": "int-or-string",
    "Any": "any",
    "dict": "map",
    "Dict": "map",
    "FieldsV1": "map",
    "RawExtension": "map",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field. Exactly one of ``leaf`` and ``struct`` says what it (or, if ``is_list``, its items) is."""

    name: str
    leaf: Leaf | None = None
    struct: type[msgspec.Struct] | None = None
    is_list: bool = False
    required: bool = False
    merge: Merge | None = None


@cache
def fields_of(model: type[msgspec.Struct]) -> Mapping[str, Field]:
    """The fields of a model by their JSON names."""
    module = vars(sys.modules[model.__module__])
    found: dict[str, Field] = {}
    for item in msgspec.structs.fields(model):
        text = str(model.__annotations__[item.name])
        leaf, struct, is_list = _resolve(text, module)
        found[item.encode_name] = Field(
            name=item.encode_name,
            leaf=leaf,
            struct=struct,
            is_list=is_list,
            required=item.required,
            merge=MERGES.get((model.__name__, item.encode_name)),
        )
    return found


def _resolve(annotation: str, module: Mapping[str, Any]) -> tuple[Leaf | None, type[msgspec.Struct] | None, bool]:
    inner = annotation
    if found := re.fullmatch(r"Optional\[(.*)\]", inner):
        inner = found[1]
    is_list = False
    if found := re.fullmatch(r"List\[(.*)\]", inner):
        inner, is_list = found[1], True
    prefix, _, name = inner.rpartition(".")
    if leaf := _LEAVES.get(name):
        return leaf, None, is_list
    scope: Mapping[str, Any] = vars(module[prefix]) if prefix else module
    target = scope.get(name)
    if isinstance(target, type) and issubclass(target, msgspec.Struct):
        return None, target, is_list
    return "any", None, is_list


def field_of(model: type[msgspec.Struct] | None, name: str) -> Field | None:
    return fields_of(model).get(name) if model is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What a model says about itself."""

    description: str
    fields: Mapping[str, str]


@cache
def text_of(model: type[msgspec.Struct]) -> Text:
    """Descriptions from the model's docstring."""
    head, _, listing = textwrap.dedent("  " + (model.__doc__ or "")).partition("**parameters**")
    fields: dict[str, str] = {}
    for entry in re.split(r"^\s*\* \*\*", listing, flags=re.MULTILINE)[1:]:
        name, _, rest = entry.partition("**")
        fields[name] = _flat(rest.partition(" - ")[2])
    names = {item.name: item.encode_name for item in msgspec.structs.fields(model)}
    return Text(
        description=_flat(head),
        fields={names.get(name, name): text.removeprefix("*(optional)* ") for name, text in fields.items()},
    )


def _flat(text: str) -> str:
    """Paragraphs joined to one line each."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
