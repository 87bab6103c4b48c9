"""Strategic merge patch: a merge patch that knows which lists are sets of named things.

The rules for lists come from the kind's type (`typed.schema`). Directives in the patch: `$patch` (replace,
delete), `$retainKeys`, `$deleteFromPrimitiveList/F`, `$setElementOrder/F`. None is ever stored.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Literal

from nodeagent.apiserver.patch.go_format import go_format
from nodeagent.apitypes.schema import Field, ListOf, Struct
from runtimes.kube.json_object import JsonObject

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DROP = "$deleteFromPrimitiveList/"


class BadPatch(Exception):
    """The patch itself makes no sense for this kind. `fault`: `format` of a directive, its `content`, or something that
    the lists of this kind cannot be merged by (`merge`).
    """

    def __init__(self, message: str, fault: Literal["format", "content", "merge"]) -> None:
        super().__init__(message)
        self.fault = fault


def apply(document: JsonObject, patch: JsonObject, kind: Struct | None) -> JsonObject:
    """`document` of type `kind` with `patch` merged in. Shares what did not change. Raises `BadPatch`."""
    return _merge_map(document, patch, kind)


def _merge_map(target: Any, patch: JsonObject, kind: Struct | None) -> JsonObject:
    directive = patch.get(_PATCH)
    if directive == "delete":
        return {}
    result: JsonObject = dict(target) if isinstance(target, dict) and directive != "replace" else {}
    if directive not in (None, "replace", "merge"):
        raise BadPatch(f"unknown patch type: {go_format(directive)} in map: {go_format(patch)}", "merge")
    retain = patch.get(_RETAIN)
    if retain is not None:
        kept = _check_retained(retain, patch)
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in patch.items():
        if key in (_PATCH, _RETAIN):
            continue
        if key.startswith(_DROP):
            _drop_primitives(result, key.removeprefix(_DROP), value)
        elif key.startswith(_ORDER):
            if not isinstance(value, list):
                raise BadPatch("invalid patch format of setElementOrder list", "format")
        else:
            _merge_value(result, key, value, _field(kind, key), patch.get(_ORDER + key))
    _reorder_untouched(result, patch, kind)
    return result


def _field(kind: Struct | None, name: str) -> Field | None:
    return kind.fields.get(name) if kind is not None else None


def _merges(field: Field) -> bool:
    return isinstance(field.type, ListOf) and "merge" in field.strategy


def _element(field: Field) -> Struct | None:
    return field.type.item if isinstance(field.type, ListOf) and isinstance(field.type.item, Struct) else None


def _check_retained(retain: Any, patch: JsonObject) -> frozenset[str]:
    """The keys that stay."""
    if not isinstance(retain, list):
        raise BadPatch("invalid patch format of retainKeys", "format")
    kept = frozenset(key for key in retain if isinstance(key, str))
    missing = [key for key, value in patch.items() if not key.startswith("$") and value is not None and key not in kept]
    if missing:
        raise BadPatch("patch content doesn't match retainKeys list", "content")
    return kept


def _merge_value(result: JsonObject, key: str, value: Any, field: Field | None, order: Any) -> None:
    if value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        result[key] = _merge_map(
            result.get(key), value, field.type if field and isinstance(field.type, Struct) else None
        )
    elif isinstance(value, list) and field is not None and _merges(field):
        current = result.get(key)
        current = current if isinstance(current, list) else []
        if field.key:
            result[key] = _merge_named(current, value, field.key, _element(field), order)
        else:
            result[key] = _merge_primitives(current, value, order)
    elif isinstance(value, list):
        result[key] = [_plain(item) for item in value]
    else:
        result[key] = value


def _plain(value: Any) -> Any:
    """A new value as it is stored: its directives and nulls carried out on nothing."""
    return _merge_map({}, value, None) if isinstance(value, dict) else value


def _drop_primitives(result: JsonObject, field: str, values: Any) -> None:
    if not isinstance(values, list):
        raise BadPatch("invalid patch format of primitive list", "format")
    current = result.get(field)
    if isinstance(current, list):
        dropped = {_hashable(value) for value in values}
        result[field] = [item for item in current if _hashable(item) not in dropped]


def _merge_primitives(current: Sequence[Any], added: Sequence[Any], order: Any) -> list[Any]:
    # what is no primitive is refused with the type of the field, once the patch is carried out
    found: dict[Any, Any] = {}
    for item in (*current, *added):
        found.setdefault(_hashable(item), item)
    merged = list(found.values())
    return _ordered(merged, list(current), order, lambda item: item) if isinstance(order, list) else merged


def _merge_named(current: Sequence[Any], patch: Sequence[Any], key: str, kind: Struct | None, order: Any) -> list[Any]:
    """Elements matched by `key`. Without an order new ones come first, in the patch's order; old ones stay put."""
    elements = [item for item in patch if not (isinstance(item, dict) and item.get(_PATCH) == "replace")]
    for element in elements:
        _require_key(element, key)
        if element.get(_PATCH) not in (None, "merge", "delete"):
            raise BadPatch(f"unknown patch type: {go_format(element[_PATCH])} in map: {go_format(element)}", "merge")
    if len(elements) < len(patch):
        return [_merge_map({}, element, kind) for element in elements if element.get(_PATCH) != "delete"]
    for item in current:
        _require_key(item, key)
    gone = {_hashable(e[key]) for e in elements if e.get(_PATCH) == "delete"}
    kept = [item for item in current if _hashable(item[key]) not in gone]
    positions = {_hashable(item[key]): index for index, item in reversed(list(enumerate(kept)))}
    new: list[Any] = []
    for element in elements:
        if element.get(_PATCH) == "delete":
            continue
        index = positions.get(_hashable(element[key]))
        if index is None:
            new.append(_merge_map({}, element, kind))
        else:
            kept[index] = _merge_map(kept[index], element, kind)
    if not isinstance(order, list):
        return [*new, *kept]
    wanted = [item.get(key) if isinstance(item, dict) else item for item in order]
    live = [_hashable(item[key]) for item in current]
    return _ordered([*kept, *new], live, wanted, lambda item: item[key])


def _require_key(element: Any, key: str) -> None:
    if not isinstance(element, dict):
        raise BadPatch(f"a list of objects with the key {key} has an element that is no object", "merge")
    if key not in element:
        raise BadPatch(f"map: {go_format(element)} does not contain declared merge key: {key}", "merge")


def _ordered(items: list[Any], live: Sequence[Any], order: Sequence[Any], key_of: Any) -> list[Any]:
    """`items` in `order`; those it does not mention stay behind the mentioned ones they followed in `live`."""
    rank = {_hashable(value): index for index, value in enumerate(order)}
    mentioned = sorted((i for i in items if _hashable(key_of(i)) in rank), key=lambda i: rank[_hashable(key_of(i))])
    others = [item for item in items if _hashable(key_of(item)) not in rank]
    live_rank = {_hashable(value): index for index, value in enumerate(live)}
    result: list[Any] = []
    said, unsaid = deque(mentioned), deque(others)
    while said and unsaid:
        server_first = live_rank.get(_hashable(key_of(unsaid[0])), len(live_rank))
        patch_first = live_rank.get(_hashable(key_of(said[0])), -1)
        result.append(unsaid.popleft() if patch_first >= 0 and server_first < patch_first else said.popleft())
    return [*result, *said, *unsaid]


def _reorder_untouched(result: JsonObject, patch: JsonObject, kind: Struct | None) -> None:
    """An order for a list that the patch does not otherwise touch."""
    for directive, order in patch.items():
        name = directive.removeprefix(_ORDER)
        if not directive.startswith(_ORDER) or name in patch or not isinstance(order, list):
            continue
        field, current = _field(kind, name), result.get(name)
        if field is None or not _merges(field) or not isinstance(current, list):
            continue
        if field.key:
            result[name] = _merge_named(current, [], field.key, _element(field), order)
        else:
            result[name] = _merge_primitives(current, [], order)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int) else repr(value)
