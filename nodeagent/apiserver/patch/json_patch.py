"""JSON patch, RFC 6902, with paths of RFC 6901, and with the freedoms that clients of a kube-apiserver are used to: a replace
or a copy of a member that is not there is no error, a value may be left out (null), an index may count from the end (-1).
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from nodeagent.apitypes.scalars import number_as_written

MAX_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 << 20
"""Of all copies of one patch together, as JSON: as much as a request may weigh. A copy doubles what it copies."""
MAX_MOVED_ITEMS = 100_000_000
"""Of all lists, behind what was put in or taken out: each operation on the head of a long list moves the whole of it."""
_INDEX = re.compile(r"[+-]?[0-9]+")
# no list is longer than these digits can say
_MAX_DIGITS = 18


class PatchFailed(Exception):
    """An operation cannot be carried out on this document."""


def apply(document: Any, operations: Sequence[Any]) -> Any:
    """`document` after all `operations`. Raises `PatchFailed` at the first that fails."""
    result = copy.deepcopy(document)
    budget = _Budget()
    for operation in operations:
        if not isinstance(operation, dict):
            raise PatchFailed("an operation must be an object")
        result = _apply_one(result, operation, budget)
    return result


@dataclass(slots=True)
class _Budget:
    """What the operations of one patch have cost so far, beyond their own weight."""

    copied_bytes: int = 0
    moved_items: int = 0

    def copied(self, value: Any) -> Any:
        self.copied_bytes += len(msgspec.json.encode(value, enc_hook=number_as_written))
        if self.copied_bytes > MAX_COPIED_BYTES:
            raise PatchFailed(
                "Unable to complete the copy, the accumulated size increase of copy is "
                f"{self.copied_bytes}, exceeding the limit {MAX_COPIED_BYTES}"
            )
        return copy.deepcopy(value)

    def moves(self, items: int) -> None:
        self.moved_items += items
        if self.moved_items > MAX_MOVED_ITEMS:
            raise PatchFailed(
                f"the operations move more than {MAX_MOVED_ITEMS} items of lists; replace the list instead"
            )


def _apply_one(document: Any, operation: dict[str, Any], budget: _Budget) -> Any:
    path, value = _pointer(operation, "path"), operation.get("value")
    match operation.get("op"):
        case "add":
            _add(document, path, copy.deepcopy(value), budget)
        case "remove":
            _remove(document, path, budget)
        case "replace":
            return _replace(document, path, copy.deepcopy(value))
        case "move":
            _add(document, path, _remove(document, _pointer(operation, "from"), budget), budget)
        case "copy":
            _add(document, path, budget.copied(_get(document, _pointer(operation, "from"))), budget)
        case "test":
            if not same(_get(document, path) if path else document, value):
                raise PatchFailed(f"testing value {operation.get('path')} failed")
        case other:
            raise PatchFailed(f"unexpected operation: {other}")
    return document


def same(a: Any, b: Any) -> bool:
    """JSON equality: `true` is not `1`, at any depth."""
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
    """The object or list that the last step of `path` is taken in."""
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
    """A position in a list of `length`; a negative one counts from the end."""
    if not _INDEX.fullmatch(step):
        raise PatchFailed(f"{step!r} is not an index of a list")
    if len(step.lstrip("+-0")) > _MAX_DIGITS:
        raise PatchFailed(f"an index of {len(step)} digits is out of bounds")
    sign, digits = (-1 if step[0] == "-" else 1), step.lstrip("+-0") or "0"
    index = sign * int(digits)
    if not -length <= index < length:
        raise PatchFailed(f"index {index} is out of bounds")
    return index % length


def _get(document: Any, path: Sequence[str]) -> Any:
    """The value at `path`; None for a member that is not there."""
    return _member(_container(document, path), path[-1], path)


def _add(document: Any, path: Sequence[str], value: Any, budget: _Budget) -> None:
    parent = _container(document, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        last = len(parent)
        index = last if path[-1] == "-" else _index(path[-1], last + 1)
        budget.moves(last - index)
        parent.insert(index, value)


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


def _remove(document: Any, path: Sequence[str], budget: _Budget) -> Any:
    """Take out the value at `path` and return it."""
    parent = _container(document, path)
    if isinstance(parent, list):
        index = _index(path[-1], len(parent))
        budget.moves(len(parent) - index)
        return parent.pop(index)
    if path[-1] not in parent:
        raise _missing(path)
    return parent.pop(path[-1])
