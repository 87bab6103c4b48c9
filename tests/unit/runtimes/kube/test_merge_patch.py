"""RFC 7386."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.kube.merge_patch import apply


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ([1], {"a": "b", "c": None}, {"a": "b"}),
    ],
)
def test_examples(document: Any, patch: Any, expected: Any) -> None:
    """The examples of the RFC."""
    before = copy.deepcopy(document)
    assert apply(document, patch) == expected
    assert document == before


leaves = st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.integers(), max_size=3)
objects = st.recursive(
    st.dictionaries(st.text(max_size=3), leaves, max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=3), leaves | inner, max_size=3),
    max_leaves=10,
)


def difference(old: Any, new: Any) -> Any:
    """The merge patch from `old` to `new`."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old or old[key] != value or type(old[key]) is not type(value):
            patch[key] = difference(old.get(key), value)
    return patch


@given(objects, objects)
def test_difference_leads_there(old: Any, new: Any) -> None:
    """The difference of two documents, applied to the first, gives the second; twice gives the same."""
    patch = difference(old, new)
    assert apply(old, patch) == new
    assert apply(apply(old, patch), patch) == new
