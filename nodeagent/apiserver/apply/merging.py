"""An applied configuration laid over an object, and what is taken out of it again."""

from collections.abc import Sequence
from typing import Any

from nodeagent.apiserver.apply.sets import Fields, is_member
from nodeagent.apiserver.apply.shapes import ABSENT, AnyMap, KeyedList, NoElement, Shape, StructShape, ValueSet
from runtimes.kube.json_object import JsonObject


class EmptiedList(list[Any]):
    """A list whose last element was taken out: no value any more, which an empty list is."""


class EmptiedMap(dict[str, Any]):
    """A map, or struct, whose last key was taken out."""


def merge(live: Any, config: Any, shape: Shape) -> Any:
    """`live` with all that `config` says. Nothing is removed; a null in `config` is a value."""
    merged = _merge(live, config, shape)
    return {} if merged is ABSENT else merged


def _merge(live: Any, config: Any, shape: Shape | None) -> Any:
    if config is ABSENT:
        return live
    if live is ABSENT and not isinstance(config, dict | list):
        return config
    if isinstance(shape, StructShape | AnyMap):
        if (live is ABSENT or _is(live, dict)) and _is(config, dict):
            return _merge_maps({} if live is ABSENT else live or {}, config, shape)
    elif isinstance(shape, KeyedList | ValueSet) and (live is ABSENT or _is(live, list)) and _is(config, list):
        return _merge_lists([] if live is ABSENT else live or [], config, shape)
    return config


def _is(value: Any, kind: type) -> bool:
    return value is None or isinstance(value, kind)


def _merge_maps(live: JsonObject, config: JsonObject | None, shape: StructShape | AnyMap) -> Any:
    if not live and not config:
        return config
    result = dict(live)
    for name, value in (config or {}).items():
        inner = shape.item if isinstance(shape, AnyMap) else shape.fields.get(name)
        result[name] = _merge(live.get(name, ABSENT), value, inner)
    return result


def _merge_lists(live: list[Any], config: list[Any] | None, shape: KeyedList | ValueSet) -> Any:
    """In the order of `config`; elements of `live` that it does not have stay where their neighbours leave them."""
    if not config:
        return live or config
    new = {shape.element(item): item for item in config}
    old: dict[str, Any] = {}
    names = []
    for item in live:
        name = _element(shape, item)
        # of several that are alike none is merged with the new one
        old[name] = item if name not in old else ABSENT
        names.append((name, item))
    return [
        item if name not in new else _merge(old.get(name, ABSENT), new[name], shape.item)
        for name, item in _in_order(names, new)
    ]


def _in_order(live: list[tuple[str, Any]], new: dict[str, Any]) -> list[tuple[str, Any]]:
    """The elements of both lists: those of `new` in its order, the others of `live` between the same neighbours."""
    wanted = list(new)
    known = {name for name, _ in live}
    shared = [name for name in wanted if name in known]
    result: list[tuple[str, Any]] = []
    left = right = 0
    while left < len(live) or right < len(wanted):
        if left < len(live):
            name, item = live[left]
            if name not in new:
                result.append((name, item))
                left += 1
                continue
            if right >= len(wanted):
                left += 1  # its turn was
                continue
            if name == wanted[right] or not shared:
                left += 1
            elif shared[0] != name:
                left += 1  # it comes when those before it in the new order have had their turn
                continue
        name = wanted[right]
        result.append((name, new[name]))
        right += 1
        if shared and shared[0] == name:
            shared.pop(0)
    return result


def _element(shape: KeyedList | ValueSet, item: Any) -> str:
    try:
        return shape.element(item)
    except NoElement:
        return f"i:{id(item)}"


def remove(value: Any, fields: Fields, shape: Shape | None) -> Any:
    """`value` without the members of `fields`. A map or list that has nothing left is there, but empty."""
    if isinstance(shape, StructShape | AnyMap) and isinstance(value, dict) and value:
        result: JsonObject = {}
        for name, inner in value.items():
            node = fields.get("f:" + name)
            if node is None:
                result[name] = inner
            elif not is_member(node):
                kind = shape.item if isinstance(shape, AnyMap) else shape.fields.get(name)
                result[name] = remove(inner, node, kind)
        return result or EmptiedMap()
    if isinstance(shape, KeyedList | ValueSet) and isinstance(value, list) and value:
        return _remove_items(value, fields, shape) or EmptiedList()
    return value


def _remove_items(items: Sequence[Any], fields: Fields, shape: KeyedList | ValueSet) -> list[Any]:
    result = []
    for item in items:
        node = fields.get(_element(shape, item))
        if node is None:
            result.append(item)
        elif not is_member(node):
            result.append(remove(item, node, shape.item))
    return result


def settled(value: Any) -> Any:
    """`value` without what was emptied."""
    if isinstance(value, dict):
        return {
            name: settled(inner) for name, inner in value.items() if not isinstance(inner, EmptiedMap | EmptiedList)
        }
    return [settled(item) for item in value] if isinstance(value, list) else value


def fields_of(value: Any, shape: Shape) -> Fields:
    """What a configuration says: its leaves, the elements of its lists, the keys of its maps, and maps without keys."""
    return _fields_of(value, shape) or {}


def _fields_of(value: Any, shape: Shape | None) -> Fields | None:
    """The node; None for a value that says nothing by itself (a struct, a map, a list with parts are no members)."""
    if isinstance(shape, StructShape | AnyMap):
        if not isinstance(value, dict):
            return None
        result: Fields = {}
        for name, inner in value.items():
            kind = shape.item if isinstance(shape, AnyMap) else shape.fields.get(name)
            node = _fields_of(inner, kind)
            empty = inner is None or inner == {} or isinstance(inner, EmptiedList)
            if empty or isinstance(shape, AnyMap) or kind is None:
                node = _member(node)
            if node is not None:
                result["f:" + name] = node
        return result or None
    if isinstance(shape, KeyedList | ValueSet):
        return _elements_of(value, shape) if isinstance(value, list) else None
    return {}


def _elements_of(items: list[Any], shape: KeyedList | ValueSet) -> Fields | None:
    result: Fields = {}
    for item in items:
        name = _element(shape, item)
        # several that are alike are owned as one
        result[name] = {} if name in result else _member(_fields_of(item, shape.item))
    return result or None


def _member(node: Fields | None) -> Fields:
    if not node:
        return {}
    return node if "." in node else {".": {}, **node}


def with_structs(fields: Fields, shape: Shape | None) -> Fields:
    """`fields` and all the named fields of structs above them, which sets do not say."""
    if not fields:
        return fields
    result: Fields = {}
    for element, node in fields.items():
        inner: Shape | None = None
        named = False
        if isinstance(shape, StructShape) and element.startswith("f:"):
            inner = shape.fields.get(element[2:])
            named = inner is not None
        elif isinstance(shape, AnyMap | KeyedList):
            inner = shape.item
        node = with_structs(node, inner)
        result[element] = _member(node) if named else node
    return result
