"""Sets of fields obey the laws of sets, in the form in which they are stored."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.apiserver.apply import sets
from nodeagent.apiserver.apply.elements import BadElement
from nodeagent.apiserver.apply.sets import Fields, Path

A, B, C = "f:a", "f:b", 'k:{"name":"c"}'
_PATHS = st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=3).map(tuple)
_SETS = st.frozensets(_PATHS, max_size=8)


def made(paths: Any) -> Fields:
    return sets.of_paths(*paths)


def members(fields: Fields) -> frozenset[Path]:
    found = list(sets.paths(fields))
    assert len(found) == len(set(found))
    assert fields == made(found), "one form for one set"
    return frozenset(found)


@given(_SETS, _SETS)
def test_set_laws(one: frozenset[Path], other: frozenset[Path]) -> None:
    """Union, intersection and difference are those of the paths; nothing that goes in is changed."""
    left, right = made(one), made(other)
    before = json.dumps([left, right])
    assert members(sets.union(left, right)) == one | other
    assert members(sets.intersection(left, right)) == one & other
    assert members(sets.difference(left, right)) == one - other
    assert json.dumps([left, right]) == before


@given(_SETS, _SETS)
def test_without_takes_what_is_below_too(one: frozenset[Path], other: frozenset[Path]) -> None:
    """A member takes its parts with it."""
    expected = {path for path in one if not any(path[: len(gone)] == gone for gone in other)}
    assert members(sets.without(made(one), made(other))) == expected


@given(_SETS, _PATHS)
def test_has(one: frozenset[Path], path: Path) -> None:
    """Membership is that of the paths."""
    assert sets.has(made(one), path) == (path in one)


def test_difference_of_nothing_is_the_same_object() -> None:
    """So that an entry that loses nothing is seen to be the stored one."""
    one = made([(A, B), (C,)])
    assert sets.difference(one, made([(A, C), (B,)])) is one


def test_only() -> None:
    """A pattern keeps what lies on its paths and below them."""
    one = made([("f:spec",), ("f:spec", "f:x"), ("f:spec", "f:c", C), ("f:spec", "f:c", C, "f:r", A), ("f:status",)])
    pattern = {"f:spec": {"f:c": {"*": {"f:r": {}}}}}
    assert members(sets.only(one, pattern)) == {
        ("f:spec",),
        ("f:spec", "f:c", C),
        ("f:spec", "f:c", C, "f:r", A),
    }
    assert sets.only(made([("f:status", A)]), pattern) == {}


def test_as_stored() -> None:
    """Elements are in order, a dot marks a member with parts, as the API server writes it."""
    fields = made(
        [
            ("f:metadata", "f:labels"),
            ("f:metadata", "f:labels", "f:app"),
            ("f:spec", "f:ports", 'k:{"port":443,"protocol":"TCP"}'),
            ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}'),
            ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:port"),
            ("f:data",),
        ]
    )
    assert json.dumps(sets.ordered(fields), separators=(",", ":")) == (
        '{"f:data":{},"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:ports":{'
        '"k:{\\"port\\":80,\\"protocol\\":\\"TCP\\"}":{".":{},"f:port":{}},'
        '"k:{\\"port\\":443,\\"protocol\\":\\"TCP\\"}":{}}}}'
    )


@pytest.mark.parametrize(
    ("stated", "paths"),
    [
        (None, []),
        ({"f:a": {}}, [(A,)]),
        ({"f:a": None}, [(A,)]),
        ({"f:a": {".": {}}}, [(A,)]),
        ({"f:a": {".": {}, "f:b": {}}, ".": {}}, [(A,), (A, B)]),
        ({"f:a": {"z:new": {}}}, [(A,)]),
        ({'k:{"name": "c"}': {}}, [(C,)]),
    ],
)
def test_read(stated: Any, paths: list[Path]) -> None:
    """What a client writes becomes the one form."""
    assert sets.read(stated) == made(paths)


@pytest.mark.parametrize("stated", [[], "x", {"a": {}}, {"f:a": 1}, {"f:a": {"k:x": {}}}])
def test_what_is_no_set(stated: Any) -> None:
    """Nonsense is refused."""
    with pytest.raises(BadElement):
        sets.read(stated)


def test_paths_in_order_and_readable() -> None:
    """The members of a level come before what is below them."""
    fields = made([(A, B), (A,), (B,), (C, A)])
    assert [sets.readable(path) for path in sets.paths(fields)] == [".a", ".b", ".a.b", '[name="c"].a']
