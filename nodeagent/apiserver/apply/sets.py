"""Sets of fields, in the form in which `fieldsV1` stores them: a tree of path elements.

A node is `{}` for a member without parts, `{".": {}, element: node, …}` for a member with parts, `{element: node, …}`
for what only has members below it. The root is never a member; `{}` at the root is the empty set. Nodes are shared and
never changed in place. Order does not matter but for what is stored (`ordered`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nodeagent.apiserver.apply import elements

Fields = dict[str, Any]
Path = tuple[str, ...]

SELF = "."
MEMBER: Fields = {}


def is_member(node: Fields) -> bool:
    return not node or SELF in node


def member(node: Fields | None) -> Fields:
    """`node` (None: nothing below) as that of a member."""
    if not node:
        return MEMBER
    return node if SELF in node else {SELF: MEMBER, **node}


def of_paths(*paths: Path) -> Fields:
    result: Fields = {}
    for path in paths:
        node: Fields = MEMBER
        for element in reversed(path):
            node = {element: node}
        result = union(result, node)
    return result


def union(one: Fields, other: Fields) -> Fields:
    """What is in either set."""
    if not other:
        return one
    return _union(one, other) if one else other


def union_all(parts: Sequence[Fields]) -> Fields:
    """What is in any of the sets. By halves: one that grows is not copied for each of the others."""
    while len(parts) > 1:
        parts = [
            union(*parts[index : index + 2]) if index + 1 < len(parts) else parts[index]
            for index in range(0, len(parts), 2)
        ]
    return parts[0] if parts else {}


def _union(one: Fields, other: Fields) -> Fields:
    if not one:
        return member(other)
    if not other:
        return member(one)
    result = dict(one)
    for element, node in other.items():
        mine = result.get(element)
        result[element] = node if mine is None else _union(mine, node)
    return result


def intersection(one: Fields, other: Fields) -> Fields:
    """What is in both sets. Cheapest with the smaller one as `other`."""
    result: Fields = {}
    for element, node in other.items():
        mine = one.get(element)
        if mine is not None and (both := _intersection(mine, node)) is not None:
            result[element] = both
    return result


def _intersection(one: Fields, other: Fields) -> Fields | None:
    if not one:
        return MEMBER if is_member(other) else None
    if not other:
        return MEMBER if SELF in one else None
    return _normal(intersection(one, other))


def difference(one: Fields, other: Fields) -> Fields:
    """What is in `one` and not in `other`; `one` itself if that is all of it.

    Parts and wholes are apart: taking a whole leaves its parts.
    """
    result = one
    for element, node in other.items():
        mine = one.get(element)
        if mine is None:
            continue
        rest = _difference(mine, node)
        if rest is mine:
            continue
        if result is one:
            result = dict(one)
        if rest is None:
            del result[element]
        else:
            result[element] = rest
    return result


def _difference(one: Fields, other: Fields) -> Fields | None:
    if not other:
        if not one:
            return None
        return {element: node for element, node in one.items() if element != SELF} if SELF in one else one
    if not one:
        return None if SELF in other else one
    return _normal(difference(one, other))


def without(one: Fields, other: Fields) -> Fields:
    """`one` without the members of `other` and everything below them."""
    result: Fields = {}
    for element, node in one.items():
        theirs = other.get(element)
        if theirs is None or element == SELF:
            result[element] = node
        elif not is_member(theirs):
            rest = _normal(without(node, theirs)) if node else node
            if rest is not None:
                result[element] = rest
    return result


def only(one: Fields, pattern: Mapping[str, Any]) -> Fields:
    """The part of `one` that lies on or below the paths of `pattern`: a tree of elements, `*` for any, whose leaves
    are empty."""
    if not pattern:
        return one
    result: Fields = {}
    for element, node in one.items():
        inner = pattern.get(element, pattern.get("*"))
        if inner is None or element == SELF:
            continue
        rest = only(node, inner)
        if is_member(node):
            rest = member({key: value for key, value in rest.items() if key != SELF})
        elif not rest:
            continue
        result[element] = rest
    return result


def _normal(node: Fields) -> Fields | None:
    """None for a node without members; the one form of a member without parts."""
    if not node:
        return None
    return MEMBER if len(node) == 1 and SELF in node else node


def paths(fields: Fields, prefix: Path = ()) -> Iterator[Path]:
    """All members: those of a level in order, then what is below each."""
    inner = _sorted(fields)
    for element in inner:
        if is_member(fields[element]):
            yield (*prefix, element)
    for element in inner:
        if fields[element]:
            yield from paths(fields[element], (*prefix, element))


def has(fields: Fields, path: Path) -> bool:
    node: Fields | None = fields
    for element in path:
        node = None if node is None else node.get(element)
    return bool(path) and node is not None and is_member(node)


def readable(path: Path) -> str:
    """`.spec.containers[name="a"].image`."""
    return "".join(map(elements.readable, path))


def ordered(fields: Fields) -> Fields:
    """The set with all its elements in order, as it is stored."""
    if not fields:
        return fields
    result: Fields = {SELF: MEMBER} if SELF in fields else {}
    for element in _sorted(fields):
        result[element] = ordered(fields[element])
    return result


def _sorted(fields: Fields) -> list[str]:
    inner = [element for element in fields if element != SELF]
    if len(inner) > 1:
        inner.sort(key=None if all(element[0] == "f" for element in inner) else elements.order)
    return inner


def read(stated: Any) -> Fields:
    """The set that a client wrote as `fieldsV1`. Raises `BadElement`."""
    return {element: node for element, node in _read(stated).items() if element != SELF}


def _read(stated: Any) -> Fields:
    if stated is None:
        return {}
    if not isinstance(stated, dict):
        raise elements.BadElement(f"no set of fields: {stated!r}")
    result: Fields = {}
    for text, inner in stated.items():
        if text == SELF:
            result[SELF] = MEMBER
        elif (element := elements.canonical(text)) is not None:
            result[element] = _read(inner)
    return MEMBER if set(result) == {SELF} else result
