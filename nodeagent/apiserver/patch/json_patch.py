"""JSON patch, RFC 6902, with paths of RFC 6901, and with the freedoms that clients of a kube-apiserver are used to: a replace
or a copy of a member that is not there is no error, a value may be left out (null), an index may count from the end (-1).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any, Final

MAX_OPERATIONS = 10_000
_INDEX: Final = re.compile(r"[+-]?[0-9]+")


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
    path, value = _pointer(operation, "path"), operation.get("value")
    match operation.get("op"):
        case "add":
            _add(document, path, copy.deepcopy(value))
        case "remove":
            _remove(document, path)
        case "replace":
            return _replace(document, path, copy.deepcopy(value))
        case "move":
            _add(document, path, _remove(document, _pointer(operation, "from")))
        case "copy":
            _add(document, path, copy.deepcopy(_get(document, _pointer(operation, "from"))))
        case "test":
            if not same(_get(document, path) if path else document, value):
                raise PatchFailed(f"testing value {operation.get('path')} failed")
        case other:
            raise PatchFailed(f"unexpected operation: {other}")
    return document


def same(a: Any, b: Any) -> bool:
    """JSON equality: ``true`` is not ``1``, at any depth."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _pointer(operation: dict[str, Any], name: str) -> list[str]:
    text = operation.get(name)
    if not isinstance(text, str):
        raise PatchFailed(f"missing {name}")
    if text == "":
        return []
    if not text.startswith("/"):
        raise PatchFailed(f"{name} {text!r} does not start with a slash")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _container(document: Any, path: Sequence[str]) -> Any:
    """The object or list that the last step of ``path`` is taken in."""
    if not path:
        raise PatchFailed("the whole document is no member of anything")
    for step in path[:-1]:
        document = _member(document, step, path)
    if not isinstance(document, dict | list):
        raise _missing(path)
    return document


def _member(container: Any, step: str, path: Sequence[str]) -> Any:
    if isinstance(container, list):
        return container[_index(step, len(container))]
    if not isinstance(container, dict):
        raise _missing(path)
    return container.get(step)


def _missing(path: Sequence[str]) -> PatchFailed:
    return PatchFailed(f"path /{'/'.join(path)} does not exist")


def _index(step: str, length: int) -> int:
    """A position in a list of ``length``; a negative one counts from the end."""
    if not _INDEX.fullmatch(step):
        raise PatchFailed(f"{step!r} is not an index of a list")
    index = int(step)
    if not -length <= index < length:
        raise PatchFailed(f"index {index} is out of bounds")
    return index % length


def _get(document: Any, path: Sequence[str]) -> Any:
    """The value at ``path``; None for a member that is not there."""
    return _member(_container(document, path), path[-1], path)


def _add(document: Any, path: Sequence[str], value: Any) -> None:
    parent = _container(document, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        last = len(parent)
        parent.insert(last if path[-1] == "-" else _index(path[-1], last + 1), value)


def _replace(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        if not isinstance(value, dict | list):
            raise PatchFailed("replace operation value must be object or array")
        return value
    parent = _container(document, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        parent[_index(path[-1], len(parent))] = value
    return document


def _remove(document: Any, path: Sequence[str]) -> Any:
    """Take out the value at ``path`` and return it."""
    parent = _container(document, path)
    if isinstance(parent, list):
        return parent.pop(_index(path[-1], len(parent)))
    if path[-1] not in parent:
        raise _missing(path)
    return parent.pop(path[-1])
