"""RFC 6902."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.apiserver.patch.json_patch import PatchFailed, apply, same

DOCUMENT: dict[str, Any] = {"a": {"b": [1, 2, 3]}, "c/d": 1, "e~f": 2, "t": True}


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/x", "value": 1}], {**DOCUMENT, "x": 1}),
        ([{"op": "add", "path": "/a/b/1", "value": 9}], {**DOCUMENT, "a": {"b": [1, 9, 2, 3]}}),
        ([{"op": "add", "path": "/a/b/-", "value": 9}], {**DOCUMENT, "a": {"b": [1, 2, 3, 9]}}),
        ([{"op": "replace", "path": "", "value": {"n": 1}}], {"n": 1}),
        ([{"op": "replace", "path": "/x", "value": 1}], {**DOCUMENT, "x": 1}),
        ([{"op": "add", "path": "/x"}], {**DOCUMENT, "x": None}),
        ([{"op": "add", "path": "/a/b/-1", "value": 9}], {**DOCUMENT, "a": {"b": [1, 2, 3, 9]}}),
        ([{"op": "add", "path": "/a/b/-2", "value": 9}], {**DOCUMENT, "a": {"b": [1, 2, 9, 3]}}),
        ([{"op": "replace", "path": "/a/b/-1", "value": 9}], {**DOCUMENT, "a": {"b": [1, 2, 9]}}),
        ([{"op": "replace", "path": "/a/b/01", "value": 9}], {**DOCUMENT, "a": {"b": [1, 9, 3]}}),
        ([{"op": "remove", "path": "/a/b/-3"}], {**DOCUMENT, "a": {"b": [2, 3]}}),
        ([{"op": "copy", "from": "/x", "path": "/y"}], {**DOCUMENT, "y": None}),
        ([{"op": "test", "path": "/x", "value": None}, {"op": "test", "path": "/x"}], DOCUMENT),
        ([{"op": "test", "path": "", "value": DOCUMENT}], DOCUMENT),
        ([{"op": "add", "path": "/x", "value": None}], {**DOCUMENT, "x": None}),
        ([{"op": "remove", "path": "/a/b/0"}], {**DOCUMENT, "a": {"b": [2, 3]}}),
        ([{"op": "replace", "path": "/c~1d", "value": 7}], {**DOCUMENT, "c/d": 7}),
        ([{"op": "replace", "path": "/e~0f", "value": 7}], {**DOCUMENT, "e~f": 7}),
        ([{"op": "move", "from": "/a/b/0", "path": "/a/b/2"}], {**DOCUMENT, "a": {"b": [2, 3, 1]}}),
        ([{"op": "move", "from": "/t", "path": "/u"}], {"a": {"b": [1, 2, 3]}, "c/d": 1, "e~f": 2, "u": True}),
        ([{"op": "copy", "from": "/a/b", "path": "/z"}], {**DOCUMENT, "z": [1, 2, 3]}),
        ([{"op": "test", "path": "/a/b", "value": [1, 2, 3]}], DOCUMENT),
    ],
)
def test_operations(operations: list[Any], expected: Any) -> None:
    """Each operation does what the RFC says, with the freedoms of a kube-apiserver; the document given is not changed."""
    before = copy.deepcopy(DOCUMENT)
    assert apply(DOCUMENT, operations) == expected
    assert before == DOCUMENT


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/no/where", "value": 1},
        {"op": "add", "path": "/a/b/9", "value": 1},
        {"op": "add", "path": "x", "value": 1},
        {"op": "add", "path": "", "value": {}},
        {"op": "add", "path": "/a/b/-5", "value": 1},
        {"op": "add", "path": "/a/b/x", "value": 1},
        {"op": "add", "path": "/t/x", "value": 1},
        {"op": "remove", "path": "/nothing"},
        {"op": "remove", "path": ""},
        {"op": "remove", "path": "/a/b/-4"},
        {"op": "replace", "path": "/nothing/x", "value": 1},
        {"op": "replace", "path": "/a/b/3", "value": 1},
        {"op": "replace", "path": "", "value": 1},
        {"op": "move", "from": "/nothing", "path": "/x"},
        {"op": "copy", "from": "/nothing/x", "path": "/x"},
        {"op": "copy", "from": "/a", "path": ""},
        {"op": "move", "from": "/a", "path": "/a/b/0"},
        {"op": "test", "path": "/t", "value": 1},
        {"op": "test", "path": "/t"},
        {"op": "test", "path": "/x", "value": 1},
        {"op": "test", "path": "/nothing/x", "value": None},
        {"op": "fly", "path": "/t"},
        {"path": "/t"},
        {"op": "remove", "path": "/t/deeper"},
        "nonsense",
    ],
)
def test_refused(operation: Any) -> None:
    """An operation that cannot be done fails the patch."""
    with pytest.raises(PatchFailed):
        apply(DOCUMENT, [operation])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4), st.text(max_size=4), json_values)
def test_add_then_remove_is_nothing(document: dict[str, Any], key: str, value: Any) -> None:
    """Adding a new member and removing it gives the document back, whatever characters the key has."""
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    document.pop(key, None)
    added = apply(document, [{"op": "add", "path": path, "value": value}])
    assert same(added[key], value)
    assert same(apply(added, [{"op": "test", "path": path, "value": value}, {"op": "remove", "path": path}]), document)
