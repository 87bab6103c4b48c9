"""Whether an applied configuration is of its kind, in the words of structured-merge-diff."""

import json
from collections.abc import Iterator
from typing import Any

from nodeagent.apiserver.apply import elements
from nodeagent.apiserver.apply.shapes import (
    AnyMap,
    Atomic,
    KeyedList,
    Leaf,
    NoElement,
    Sequence,
    Shape,
    StructShape,
    ValueSet,
)


def faults(config: Any, shape: Shape) -> str:
    """All that is wrong, one line each; "" when nothing is."""
    found = list(_faults(config, shape, ""))
    return found[0] if len(found) == 1 else "\n".join(["errors:", *(f"  {line}" for line in found)]) if found else ""


def _faults(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if value is None:
        return
    match shape:
        case Leaf():
            yield from _scalar(value, shape, path)
        case Atomic():
            yield from _faults(value, shape.inner, path)
        case StructShape() | AnyMap():
            yield from _map(value, shape, path)
        case _:
            yield from _list(value, shape, path)


def _scalar(value: Any, shape: Leaf, path: str) -> Iterator[str]:
    match shape.check:
        case "numeric" if isinstance(value, bool) or not isinstance(value, int | float):
            yield _at(path, f"expected numeric (int or float), got {_go_type(value)}")
        case "string" if not isinstance(value, str):
            yield _at(path, f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}")
        case "boolean" if not isinstance(value, bool):
            yield _at(path, f"expected boolean, got &{{{_go_text(value)}}}")


def _map(value: Any, shape: StructShape | AnyMap, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _at(path, f"expected map, got &{{{_go_text(value)}}}")
        return
    for name, inner in value.items():
        kind = shape.item if isinstance(shape, AnyMap) else shape.fields.get(name)
        if kind is None:
            yield _at(f"{path}.{name}", "field not declared in schema")
        else:
            yield from _faults(inner, kind, f"{path}.{name}")


def _list(value: Any, shape: KeyedList | ValueSet | Sequence, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield _at(path, f"expected list, got &{{{_go_text(value)}}}")
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        if isinstance(shape, Sequence):
            yield from _faults(item, shape.item, f"{path}[{index}]")
            continue
        try:
            element = shape.element(item)
        except NoElement as error:
            yield _at(path, f"element {index}: {error}")
            return
        shown = elements.readable(element)
        if element in seen:
            yield _at(path, f"duplicate entries for key {shown}")
        seen.add(element)
        yield from _faults(item, shape.item, path + shown)


def _at(path: str, message: str) -> str:
    return f"{path}: {message}" if path else message


def _go_type(value: Any) -> str:
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    return {str: "string", bool: "bool", int: "int64", float: "float64"}.get(type(value), "<nil>")


def _go_text(value: Any) -> str:
    """As Go's `%v`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_go_text, value)) + "]"
    return _plain(value)


def _go_syntax(value: Any) -> str:
    """As Go's `%#v`."""
    if isinstance(value, dict):
        return (
            "map[string]interface {}{"
            + ", ".join(f"{_go_syntax(k)}:{_go_syntax(value[k])}" for k in sorted(value))
            + "}"
        )
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(map(_go_syntax, value)) + "}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "interface {}(nil)" if value is None else _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
