"""The forms that an object has after it was read: the one rules work on, and the one that is stored and answered.

Go writes some fields even when they say nothing: those without `omitempty` (`name: ""`), structs that are no pointers
(`resources: {}`, `status: {}`), and values that are structs to Go (times as null, quantities as `"0"`). `work_form` adds
them to a decoded object, but for nulls, so that rules need not tell null from absent; `written_form` has the nulls too.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from nodeagent.apitypes.decode import Decoded, decode, reread, zero_of
from nodeagent.apitypes.schema import Field, ListOf, MapOf, Scalar, Struct, Type, struct
from runtimes.kube.json_object import JsonObject

_Filler = Callable[[Any], None]
_STRUCTS_TO_GO = frozenset({"time", "micro-time", "quantity", "int-or-string"})


def read(kind: Struct, value: Any) -> Decoded:
    """Decode as `decode` does, into the form that rules work on."""
    found = decode(kind, value)
    _filler_of(kind.name, nulls=False)(found.value)
    return found


def work_form(kind: Struct, value: JsonObject) -> JsonObject:
    """An object of this server's own, as stored, in the form that rules work on. Shares nothing with `value`."""
    return _filled(kind, value, nulls=False)


def written_form(kind: Struct, value: JsonObject) -> JsonObject:
    """An object as it is stored and answered. Shares nothing with `value`; of one in this form already it is an equal."""
    return _filled(kind, value, nulls=True)


def _filled(kind: Struct, value: JsonObject, *, nulls: bool) -> JsonObject:
    found = reread(kind, value)
    if found is not value:
        _filler_of(kind.name, nulls=nulls)(found)
    return found


@cache
def _filler_of(name: str, *, nulls: bool) -> _Filler:
    fields = struct(name).fields.values()
    zeros = [(field.name, _zero_maker(field)) for field in fields if _always_written(field)]
    written = [(key, zero) for key, zero in zeros if nulls or zero() is not None]
    inner: dict[str, _Filler] = {}
    known = False

    def fill(value: Any) -> None:
        nonlocal known
        if not known:  # made when first needed: types may refer to themselves
            inner.update((field.name, found) for field in fields if (found := _filler(field.type, nulls=nulls)))
            known = True
        for key, zero in written:
            if key not in value:
                value[key] = zero()
        for key, item in value.items():
            filler = inner.get(key)
            if filler is not None and item is not None:
                filler(item)

    return fill


def _filler(kind: Type, *, nulls: bool) -> _Filler | None:
    match kind:
        case Struct():
            return _filler_of(kind.name, nulls=nulls)
        case ListOf(item=Struct(name=name)):
            fill = _filler_of(name, nulls=nulls)
            return lambda items: _fill_each(items, fill)
        case MapOf(item=Struct(name=name)):
            fill = _filler_of(name, nulls=nulls)
            return lambda items: _fill_each(tuple(items.values()), fill)
    return None


def _fill_each(items: Sequence[Any], fill: _Filler) -> None:
    for item in items:
        fill(item)


def _always_written(field: Field) -> bool:
    if field.omitzero or not field.omitempty:
        return not field.omitzero
    if field.pointer:
        return False
    return isinstance(field.type, Struct) or (isinstance(field.type, Scalar) and field.type.name in _STRUCTS_TO_GO)


def _zero_maker(field: Field) -> Callable[[], Any]:
    if field.pointer or isinstance(field.type, ListOf | MapOf):
        return lambda: None
    return zero_of(field.type)
