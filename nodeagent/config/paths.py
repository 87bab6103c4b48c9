"""Paths are made absolute once, where they are read: those of a file against the file's folder, those of options against the
working directory. Which fields are paths is said by their types. `..` and trailing slashes go, links stay.
"""

import dataclasses
import os
import typing
from pathlib import Path
from typing import Any

import msgspec

from nodeagent.config.values import FilePath, Program


def resolve_document(document: msgspec.Struct, folder: Path) -> None:
    """Make the paths in a document, and in all that is inside it, absolute."""
    kinds = typing.get_type_hints(type(document))
    for field in msgspec.structs.fields(document):
        name, value = field.name, getattr(document, field.name)
        if value == field.default:
            continue
        resolved = _resolved(value, kinds[name], str(folder.absolute()))
        if resolved is not value:
            setattr(document, name, resolved)


def resolve_options(options: Any) -> Any:
    """A dataclass of options with its paths absolute."""
    changes = {
        field.name: Path(os.path.abspath(value))  # noqa: PTH100  # links stay
        for field in dataclasses.fields(options)
        if isinstance(value := getattr(options, field.name), Path)
    }
    return dataclasses.replace(options, **changes)


def resolve_plain(plain: dict[str, Any], kind: type[msgspec.Struct], folder: Path) -> dict[str, Any]:
    """A document as it is written, of a type, with its paths absolute."""
    return {key: resolve_field(value, kind, (key,), folder) for key, value in plain.items()}


def resolve_field(value: Any, kind: type[msgspec.Struct], field: tuple[str, ...], folder: Path) -> Any:
    """The value of one field, of a field of a field …; as it is where it is no path."""
    hint = typing.get_type_hints(kind).get(field[0])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        if len(field) > 1:
            return resolve_field(value, hint, field[1:], folder)
        return resolve_plain(value, hint, folder) if isinstance(value, dict) else value
    return _resolved(value, hint, str(folder.absolute())) if isinstance(value, str) else value


def _resolved(value: Any, kind: Any, folder: str) -> Any:
    if isinstance(value, msgspec.Struct):
        resolve_document(value, Path(folder))
        return value
    if kind is FilePath or (kind is Program and "/" in value):
        return os.path.normpath(Path(folder, value)) if value else value
    arguments = typing.get_args(kind)
    if isinstance(value, list) and arguments:
        return [_resolved(item, arguments[0], folder) for item in value]
    if isinstance(value, dict) and arguments:
        return {key: _resolved(item, arguments[1], folder) for key, item in value.items()}
    return value
