"""What the models say about themselves: descriptions of kinds and fields, for OpenAPI."""

import importlib
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import msgspec

from nodeagent.apitypes.schema import Struct


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What a model says about itself."""

    description: str
    fields: Mapping[str, str]


@cache
def text_of(kind: Struct) -> Text:
    """From the docstring of the model of the same name; nothing where there is none."""
    group, version, name = kind.name.split(".")
    model = getattr(importlib.import_module(f"lightkube.models.{group}_{version}"), name, None)
    if not (isinstance(model, type) and issubclass(model, msgspec.Struct)):
        return Text(description="", fields={})
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
