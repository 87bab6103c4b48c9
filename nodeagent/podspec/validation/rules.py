"""Small checks that many fields share. `path` is the field's path in messages."""

from collections.abc import Iterable
from typing import Any

from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, duplicate, invalid, required

ID_MAX = 2**31 - 1
ID_TEXT = f"must be between 0 and {ID_MAX}, inclusive"
NOT_NEGATIVE = "must be greater than or equal to 0"
MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"


def problems(path: str, value: Any, texts: Iterable[str]) -> list[FieldError]:
    """One Invalid error for every text."""
    return [invalid(path, value, text) for text in texts]


def needed(path: str, value: Any, detail: str = "") -> list[FieldError]:
    return [] if value else [required(path, detail)]


def label_name(path: str, value: str | None) -> list[FieldError]:
    """A name that must be there and be a DNS label."""
    if not value:
        return [required(path)]
    return problems(path, value, names.dns1123_label(value))


def unique(path: str, value: str, seen: set[str]) -> list[FieldError]:
    """Duplicate when `value` was seen before; remembers it."""
    if value in seen:
        return [duplicate(path, value)]
    seen.add(value)
    return []


def not_negative(path: str, value: int | None) -> list[FieldError]:
    return [invalid(path, value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def id_range(path: str, value: int | None) -> list[FieldError]:
    return [invalid(path, value, ID_TEXT)] if value is not None and not 0 <= value <= ID_MAX else []


def mode(path: str, value: int | None) -> list[FieldError]:
    return [invalid(path, value, MODE_TEXT)] if value is not None and not 0 <= value <= 0o777 else []


def relative_path(path: str, value: str) -> list[FieldError]:
    """A path below some root: not absolute, no way up."""
    errors = []
    if value.startswith("/"):
        errors.append(invalid(path, value, "must be a relative path"))
    return errors + no_way_up(path, value)


def no_way_up(path: str, value: str) -> list[FieldError]:
    return [invalid(path, value, "must not contain '..'")] if ".." in value.split("/") else []


def file_path(path: str, value: str | None) -> list[FieldError]:
    """Where a projected file goes inside its volume."""
    if not value:
        return [required(path)]
    errors = relative_path(path, value)
    if value.startswith("..") and not errors:
        errors.append(invalid(path, value, "must not start with '..'"))
    return errors


def port_or_name(path: str, value: int | str | None) -> list[FieldError]:
    """A port given by number or by the name of a container port."""
    if isinstance(value, str):
        return problems(path, value, names.port_name(value))
    return problems(path, value or 0, names.port_number(value or 0))


def absent_or(path: str, value: str | None, check: Any) -> list[FieldError]:
    """Apply a name check from `names` to an optional field."""
    return problems(path, value, check(value)) if value else []
