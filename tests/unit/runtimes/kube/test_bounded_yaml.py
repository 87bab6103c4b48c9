"""The one reader of YAML: what it reads, and what it refuses before it costs anything."""

from typing import Any

import pytest

from runtimes.kube.bounded_yaml import Limits, YamlError, read, read_all


def _doubling(levels: int, leaf: str = "[x, x]") -> str:
    """A list whose every level names the one before twice: 2 to the power of `levels` leaves in a line each."""
    return "".join(f"- &a{i} {f'[*a{i - 1}, *a{i - 1}]' if i else leaf}\n" for i in range(levels))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("a: 1\nb: [x, 2020-01-01, 'on', on, y, ~, 1:30, 1.0, 1e3, 0x10, 0o17, 010, 1_000, .5]\n", None),
        ("on: 1\n2: x\n1.5: {off: y}\n", {"true": 1, "2": "x", "1.5": {"false": True}}),
        ("a: &a {x: [1]}\nb: *a\n", {"a": {"x": [1]}, "b": {"x": [1]}}),
        ("a: &a {x: 1, z: 2}\nb: {<<: *a, z: 3}\n", {"a": {"x": 1, "z": 2}, "b": {"x": 1, "z": 3}}),
        ("b: {<<: [{x: 1}, {x: 2, z: 3}]}\n", {"b": {"x": 1, "z": 3}}),
        ("'<<': 1", {"<<": 1}),
        ("a: !!str 1\nb: !!int '3'\nc: !!float 3", {"a": "1", "b": 3, "c": 3}),
        ("a: |\n  %TAG\n  %TAG\n", {"a": "%TAG\n%TAG\n"}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: 18446744073709551615", {"a": 18446744073709551615}),
        ("a: " + "1" * 5000, {"a": "1" * 5000}),
        ("a: 1" + ":1" * 5000, {"a": "1" + ":1" * 5000}),
        ("a: 1e400", {"a": "1e400"}),
    ],
)
def test_values(text: str, expected: Any) -> None:
    """Texts as Kubernetes reads them, with the types of JSON."""
    if expected is None and text:
        scalars = ["x", "2020-01-01", "on", True, True, None, "1:30", 1, 1000, 16, 15, 8, 1000, 0.5]
        expected = {"a": 1, "b": scalars}
    found = read(text).value
    assert found == expected
    assert repr(found) == repr(expected)
    assert read(text.encode()).value == read(text.encode("utf-16")).value == expected


def test_nothing_is_shared() -> None:
    """Whoever changes one part of a document changes no other."""
    found = read("a: &a {x: [1]}\nb: *a\n").value
    found["a"]["x"].append(2)
    assert found["b"] == {"x": [1]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "yaml: line 2: did not find expected node content"),
        ("a: 1\nb: *x\n", "yaml: line 2: unknown anchor 'x' referenced"),
        ("a: &a [*a]", "yaml: line 1: anchor 'a' value contains itself"),
        ("[a]: b", "yaml: line 1: a list is no key"),
        ("? {a: b}\n: c", "yaml: line 1: a mapping is no key"),
        ("~: b", "yaml: line 1: a null is no key"),
        (
            "a: !!python/object:os.system x",
            "yaml: line 1: a value with the tag !!python/object:os.system has no form in JSON",
        ),
        ("a: !!binary aGk=", "yaml: line 1: a value with the tag !!binary has no form in JSON"),
        ("a: !!set {x}", "yaml: line 1: a value with the tag !!set has no form in JSON"),
        ("a: !!int x", "yaml: line 1: cannot decode !!str `x` as a !!int"),
        ("a: .inf", "yaml: line 1: .inf has no form in JSON"),
        ("a: .nan", "yaml: line 1: .nan has no form in JSON"),
        ("<<: 1", "yaml: line 1: map merge requires map or sequence of maps as the value"),
        ("a: 1\n---\nb: 2\n", "yaml: one document is expected, 2 found"),
    ],
)
def test_what_has_no_form(text: str, why: str) -> None:
    """One line with the place and the reason."""
    with pytest.raises(YamlError) as caught:
        read(text)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (_doubling(40), "yaml: line 10: document contains excessive aliasing"),
        (_doubling(40, "xxxxxxxxxxxxxxxxxxxx"), "yaml: line 9: document contains excessive aliasing"),
        ("- &x " + "a" * 6000 + "\n- *x\n", "yaml: line 2: document contains excessive aliasing"),
        (
            "- &a0 {x: 1}\n" + "".join(f"- &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)),
            "yaml: line 9: document contains excessive aliasing",
        ),
        ("[" * 10_000, "yaml: line 1: exceeded max depth of 20"),
        ("{a: " * 2_500, "yaml: line 1: exceeded max depth of 20"),
        ("- " * 5_000, "yaml: line 1: exceeded max depth of 20"),
        (
            "- &a0 [x]\n" + "".join(f"- &a{i} [*a{i - 1}]\n" for i in range(1, 100)),
            "yaml: line 20: exceeded max depth of 20",
        ),
        ("[" + "a," * 4_000 + "]", "yaml: line 1: there are more than 3000 values"),
        ("---\n" * 2_400 + "a: 1\n", "yaml: one document is expected, 2400 found"),
        ("%TAG !a! b\n" * 20 + "--- x", "yaml: there are more than 16 directives"),
        ("a" * 10_001, "yaml: the text is longer than 10000 characters"),
        (b"\xff", "yaml: invalid Unicode: invalid start byte at byte 0"),
    ],
)
def test_limits(text: str | bytes, why: str) -> None:
    """Size, number, depth, aliases and merges are weighed before they are carried out."""
    limits = Limits(size=10_000, values=3_000, depth=20)
    with pytest.raises(YamlError) as caught:
        read(text, limits)
    assert str(caught.value) == why


def test_the_default_limits_hold_for_the_worst() -> None:
    """A few hundred bytes that would be 4 billion values."""
    with pytest.raises(YamlError, match=r"^yaml: line 16: document contains excessive aliasing$"):
        read(_doubling(32))
    with pytest.raises(YamlError, match=r"^yaml: line 1: exceeded max depth of 256$"):
        read("[" * 100_000)


def test_keys_that_come_again() -> None:
    """Of a key that comes again the last is taken, and each repetition is told with its line; no more than a hundred."""
    found = read("a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert found.value == {"a": 3, "b": {"c": 2}}
    assert found.repeated == ('line 2: key "c" already set in map', 'line 3: key "a" already set in map')
    assert len(read("a: 1\n" * 1000).repeated) == 100


def test_several_documents() -> None:
    """Each on its own, its anchors too."""
    assert [one.value for one in read_all("a: &x 1\n---\n---\nb: 2\n")] == [{"a": 1}, None, {"b": 2}]
    with pytest.raises(YamlError, match="unknown anchor 'x'"):
        read_all("a: &x 1\n---\nb: *x\n")
