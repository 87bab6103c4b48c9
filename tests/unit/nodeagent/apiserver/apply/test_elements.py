"""Path elements have one text each, an order and a readable form."""

from typing import Any

import pytest

from nodeagent.apiserver.apply import elements


@pytest.mark.parametrize(
    ("pairs", "text", "shown"),
    [
        ([("name", "web")], 'k:{"name":"web"}', '[name="web"]'),
        (
            [("containerPort", 80), ("protocol", "TCP")],
            'k:{"containerPort":80,"protocol":"TCP"}',
            '[containerPort=80,protocol="TCP"]',
        ),
        ([("mountPath", "/a b/ü")], 'k:{"mountPath":"/a b/ü"}', '[mountPath="/a b/ü"]'),
        ([("name", "a<b&c")], 'k:{"name":"a\\u003cb\\u0026c"}', '[name="a<b&c"]'),
        ([("name", 'a"b')], 'k:{"name":"a\\"b"}', '[name="a\\"b"]'),
        ([("on", True)], 'k:{"on":true}', "[on=true]"),
    ],
)
def test_elements_by_keys(pairs: list[tuple[str, Any]], text: str, shown: str) -> None:
    """Keys are JSON without spaces, escaped as Go escapes it, and read back as they were."""
    assert elements.of_keys(pairs) == text
    assert elements.readable(text) == shown
    assert elements.canonical(text) == text


@pytest.mark.parametrize(
    ("value", "text", "shown"), [("a", 'v:"a"', '[="a"]'), (7, "v:7", "[=7]"), (False, "v:false", "[=false]")]
)
def test_elements_by_value(value: Any, text: str, shown: str) -> None:
    """Elements of a set are their own names."""
    assert (elements.of_value(value), elements.readable(text)) == (text, shown)


def test_names_and_places() -> None:
    """Names are raw, dots and slashes included; places count."""
    assert elements.readable("f:example.com/x") == ".example.com/x"
    assert elements.readable("i:3") == "[3]"


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ('k:{ "protocol" : "TCP", "containerPort":80 }', 'k:{"containerPort":80,"protocol":"TCP"}'),
        ('v: "x"', 'v:"x"'),
        ("i:07", "i:7"),
        ("f:a:b", "f:a:b"),
        ("x:later", None),
    ],
)
def test_canonical(written: str, canonical: str | None) -> None:
    """What a client writes in its own way is the same element; kinds of a future version are left out."""
    assert elements.canonical(written) == canonical


@pytest.mark.parametrize("text", ["", "f", "name", "k:[1]", "k:{", "v:", "i:x"])
def test_what_is_no_element(text: str) -> None:
    """Nonsense is refused."""
    with pytest.raises(elements.BadElement):
        elements.canonical(text)


def test_order() -> None:
    """Names before keys before values before places; numbers by size, not by their digits."""
    expected = [
        "f:a",
        "f:b",
        'k:{"containerPort":80,"protocol":"TCP"}',
        'k:{"containerPort":80,"protocol":"UDP"}',
        'k:{"containerPort":443,"protocol":"TCP"}',
        'k:{"name":"a"}',
        "v:9",
        "v:10",
        'v:"a"',
        "i:2",
        "i:10",
    ]
    shuffled = expected[5:] + expected[:5]
    assert sorted(shuffled, key=elements.order) == expected
