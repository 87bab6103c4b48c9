"""JSON patch, RFC 6902, with paths of RFC 6901."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

MAX_OPERATIONS = 10_000


class PatchFailed(Exception):
    """An operation cannot be carried out on this document."""


def apply(document: Any, operations: Sequence[Any]) -> Any:
    """``document`` after all ``operations``. Raises ``PatchFailed`` at the first that fails."""
    result = copy.deepcopy(document)
    for operation in operations:
        if not isinstance(operation, dict):
            raise PatchFailed("an operation must be an object")
        result = _apply_one(result, operation)
    return result


def _apply_one(document: Any, operation: dict[str, Any]) -> Any:
    path = _pointer(operation, "path")
    match operation.get("op"):
        case "add":
            return _add(document, path, copy.deepcopy(_value(operation)))
        case "remove":
            return _remove(document, path)[0]
        case "replace":
            return _replace(document, path, copy.deepcopy(_value(operation)))
        case "move":
            source = _pointer(operation, "from")
            if path[: len(source)] == source and path != source:
                raise PatchFailed("cannot move a value into itself")
            document, moved = _remove(document, source)
            return _add(document, path, moved)
        case "copy":
            return _add(document, path, copy.deepcopy(_get(document, _pointer(operation, "from"))))
        case "test":
            if not same(_get(document, path), operation.get("value")):
                raise PatchFailed(f"testing value {operation.get('path')} failed")
            return document
        case other:
            raise PatchFailed(f"unexpected operation: {other}")


def same(a: Any, b: Any) -> bool:
    """JSON equality: ``true`` is not ``1``, at any depth."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchFailed("missing value")
    return operation["value"]


def _pointer(operation: dict[str, Any], name: str) -> list[str]:
    text = operation.get(name)
    if not isinstance(text, str):
        raise PatchFailed(f"missing {name}")
    if text == "":
        return []
    if not text.startswith("/"):
        raise PatchFailed(f"{name} {text!r} does not start with a slash")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _get(document: Any, path: Sequence[str]) -> Any:
    for step in path:
        if isinstance(document, dict):
            if step not in document:
                raise PatchFailed(f"path /{'/'.join(path)} does not exist")
            document = document[step]
        elif isinstance(document, list):
            document = document[_index(step, len(document) - 1)]
        else:
            raise PatchFailed(f"path /{'/'.join(path)} does not exist")
    return document


def _index(step: str, last: int) -> int:
    if not (step.isascii() and step.isdigit()) or (len(step) > 1 and step[0] == "0"):
        raise PatchFailed(f"{step!r} is not an index of a list")
    index = int(step)
    if index > last:
        raise PatchFailed(f"index {index} is out of bounds")
    return index


def _add(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent, step = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[step] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if step == "-" else _index(step, len(parent)), value)
    else:
        raise PatchFailed(f"cannot add to path /{'/'.join(path)}")
    return document


def _replace(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    _get(document, path)
    parent, step = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent[_index(step, len(parent) - 1)] = value
    else:
        parent[step] = value
    return document


def _remove(document: Any, path: Sequence[str]) -> tuple[Any, Any]:
    if not path:
        return None, document
    removed = _get(document, path)
    parent, step = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[_index(step, len(parent) - 1)]
    else:
        del parent[step]
    return document, removed
