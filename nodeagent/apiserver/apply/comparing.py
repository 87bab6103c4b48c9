"""What differs between two states of an object, as sets of fields."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nodeagent.apiserver.apply import sets
from nodeagent.apiserver.apply.sets import MEMBER, Fields
from nodeagent.apiserver.apply.shapes import ABSENT, AnyMap, KeyedList, NoElement, Shape, StructShape, ValueSet

Filter = Callable[[Fields], Fields]
Parts = tuple[Fields | None, Fields | None, Fields | None]
"""Nodes of what was added, modified, removed; None where there is nothing."""

_SAME: Parts = (None, None, None)
_MODIFIED: Parts = (None, MEMBER, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Where an element of a list becomes one of several that are alike, or the only one, it is added and removed at once."""

    added: Fields
    modified: Fields
    removed: Fields

    def filtered(self, keep: Filter) -> "Comparison":
        return Comparison(added=keep(self.added), modified=keep(self.modified), removed=keep(self.removed))

    @property
    def changed(self) -> Fields:
        """What has a new value."""
        return sets.union(self.added, self.modified)


def compare(old: Any, new: Any, shape: Shape, *, literal: bool = False) -> Comparison:
    """How `new` differs from `old`. A null is no value, as in typed objects; `literal`: it is a value in `new`."""
    added, modified, removed = _compare(old, new, shape, literal)
    return Comparison(added=_root(added), modified=_root(modified), removed=_root(removed))


def _root(node: Fields | None) -> Fields:
    return {element: inner for element, inner in node.items() if element != sets.SELF} if node else {}


def _compare(old: Any, new: Any, shape: Shape, literal: bool) -> Parts:
    if old == new:
        return _SAME
    if isinstance(shape, StructShape | AnyMap):
        if _is(old, dict) and _is(new, dict) and (old or new):
            return _maps(old or {}, new or {}, shape, literal)
    elif isinstance(shape, KeyedList | ValueSet) and _is(old, list) and _is(new, list) and (old or new):
        return _lists(old or [], new or [], shape, literal)
    return _MODIFIED


def _is(value: Any, kind: type) -> bool:
    return value is None or isinstance(value, kind)


def _maps(old: dict[str, Any], new: dict[str, Any], shape: StructShape | AnyMap, literal: bool) -> Parts:
    if isinstance(shape, AnyMap):
        return _entries(old, new, shape, literal)
    parts = _Parts()
    fields, always = shape.fields, shape.always
    for name, value in new.items():
        before = old.get(name)
        if before is None:
            before = always.get(name, ABSENT)
        if value is None and not literal:
            value = always.get(name, ABSENT)
        if before != value:
            parts.add("f:" + name, _both(before, value, fields.get(name), literal))
    for name, before in old.items():
        if before is not None and name not in new:
            value = always.get(name, ABSENT)
            if before != value:
                parts.add("f:" + name, _both(before, value, fields.get(name), literal))
    return parts.nodes()


def _entries(old: dict[str, Any], new: dict[str, Any], shape: AnyMap, literal: bool) -> Parts:
    parts = _Parts()
    for name, value in new.items():
        before = old.get(name, ABSENT)
        if before != value:
            parts.add("f:" + name, _both(before, value, shape.item, literal))
    for name, before in old.items():
        if name not in new:
            parts.add("f:" + name, (None, None, everything(before, shape.item)))
    return parts.nodes()


def _both(old: Any, new: Any, shape: Shape | None, literal: bool) -> Parts:
    """As `_compare` for values of which one may be absent; fields that no type declares (None) are leaves."""
    if old is ABSENT:
        return (everything(new, shape), None, None)
    if new is ABSENT:
        return (None, None, everything(old, shape))
    return _MODIFIED if shape is None else _compare(old, new, shape, literal)


def _lists(old: list[Any], new: list[Any], shape: KeyedList | ValueSet, literal: bool) -> Parts:
    parts = _Parts()
    before, after = _grouped(old, shape), _grouped(new, shape)
    for element, items in after.items():
        parts.add(element, _items(before.get(element, []), items, shape.item, literal))
    for element, items in before.items():
        if element not in after:
            parts.add(element, (None, None, everything(items[0], shape.item) if len(items) == 1 else MEMBER))
    return parts.nodes()


def _grouped(items: list[Any], shape: KeyedList | ValueSet) -> dict[str, list[Any]]:
    """By element. What cannot be told apart has no owner."""
    found: dict[str, list[Any]] = {}
    for item in items:
        try:
            found.setdefault(shape.element(item), []).append(item)
        except NoElement:
            continue
    return found


def _items(old: list[Any], new: list[Any], shape: Shape, literal: bool) -> Parts:
    """The items of one element: more than one (duplicates) are owned as one."""
    if len(old) <= 1 and len(new) == 1:
        return _both(old[0] if old else ABSENT, new[0], shape, literal)
    if len(new) == 1:
        return (everything(new[0], shape), None, MEMBER)
    if len(old) > 1:
        return _SAME if old == new else _MODIFIED
    return (MEMBER, None, everything(old[0], shape) if old else None)


def everything(value: Any, shape: Shape | None) -> Fields:
    """The node of a value that came (or went) as a whole: itself and all its parts."""
    result: Fields = {}
    if isinstance(shape, StructShape):
        if isinstance(value, dict):
            fields, always = shape.fields, shape.always
            for name, inner in value.items():
                if inner is None:
                    inner = always.get(name, ABSENT)
                if inner is not ABSENT:
                    result["f:" + name] = everything(inner, fields.get(name))
            for name, zero in always.items():
                if name not in value:
                    result["f:" + name] = everything(zero, fields.get(name))
    elif isinstance(shape, AnyMap):
        if isinstance(value, dict):
            for name, inner in value.items():
                result["f:" + name] = everything(inner, shape.item)
    elif isinstance(shape, KeyedList | ValueSet) and isinstance(value, list):
        for element, items in _grouped(value, shape).items():
            result[element] = everything(items[0], shape.item) if len(items) == 1 else MEMBER
    return sets.member(result)


class _Parts:
    """Collects the nodes of one level."""

    __slots__ = ("_added", "_modified", "_removed")

    def __init__(self) -> None:
        self._added: Fields = {}
        self._modified: Fields = {}
        self._removed: Fields = {}

    def add(self, element: str, parts: Parts) -> None:
        added, modified, removed = parts
        if added is not None:
            self._added[element] = added
        if modified is not None:
            self._modified[element] = modified
        if removed is not None:
            self._removed[element] = removed

    def nodes(self) -> Parts:
        return (self._added or None, self._modified or None, self._removed or None)
