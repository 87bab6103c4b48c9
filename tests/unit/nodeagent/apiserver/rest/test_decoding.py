"""Request bodies."""

from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.rest.decoding import decode, decode_patch, duplicate_fields


@pytest.mark.parametrize(
    ("data", "media", "expected"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": 1}', "application/json; charset=utf-8", {"a": 1}),
        (b'{"a": 1}', "", {"a": 1}),
        (b"a: 1\nb: [x, 2020-01-01, 'on']\n", "application/yaml", {"a": 1, "b": ["x", "2020-01-01", "on"]}),
        (b"on: 1\n2: x\n1.5: {off: y}\n", "application/yaml", {"true": 1, "2": "x", "1.5": {"false": True}}),
        (b"", "application/json", {}),
        (b"", "application/yaml", {}),
    ],
)
def test_decode(data: bytes, media: str, expected: Any) -> None:
    """JSON and YAML with the types of JSON; an empty body is an empty object."""
    assert decode(data, media) == expected


@pytest.mark.parametrize(
    ("data", "media", "code"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"a: [", "application/yaml", 400),
        (b"a: !!python/object:os.system x", "application/yaml", 400),
        (b"a: !!binary aGk=", "application/yaml", 400),
        (b"[a]: b", "application/yaml", 400),
        (b"<x/>", "application/xml", 415),
        (b"garbage", "application/vnd.kubernetes.protobuf", 400),
        (b"[" * 100_000, "application/json", 400),
    ],
)
def test_bad_bodies(data: bytes, media: str, code: int) -> None:
    """What cannot be read is 400, what is of an unknown type 415."""
    with pytest.raises(ApiError) as caught:
        decode(data, media)
    assert caught.value.code == code


STRUCT = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b"[]", f"json: cannot unmarshal array into Go value of type {STRUCT} (5b5d)"),
        (b'"x"', f"json: cannot unmarshal string into Go value of type {STRUCT} (227822)"),
        (b"7", f"json: cannot unmarshal number into Go value of type {STRUCT} (37)"),
        (b'{"kind":"Pod"} x', """invalid character 'x' after top-level value ({"kind":"Pod"} x)"""),
        (
            b'{"apiVersion": "v1", "kind": "Pod"',
            'unexpected end of JSON input ({"apiVersion": "v1", "kind": " ...)',
        ),
        (b"kind: Pod", "invalid character 'k' looking for beginning of value (6b696e643a20506f64)"),
    ],
)
def test_bodies_that_are_no_objects(data: bytes, why: str) -> None:
    """Where an object is expected, anything else is told with the beginning of what came."""
    with pytest.raises(ApiError) as caught:
        decode(data, "application/json", kind="Pod")
    expected = (
        f"the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: {why}"
    )
    assert (caught.value.code, caught.value.message) == (400, expected)


def test_null_is_an_empty_object() -> None:
    """As to Go's decoder."""
    assert decode(b"null", "application/json", kind="Pod") == {}


def test_unknown_format_text() -> None:
    """A 415 says what is taken."""
    with pytest.raises(ApiError) as caught:
        decode(b"x", "text/csv")
    assert caught.value.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


def test_alias_bomb() -> None:
    """YAML that grows by aliases is refused before it grows."""
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    with pytest.raises(ApiError, match="excessive aliasing"):
        decode("\n".join(lines).encode(), "application/yaml")


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (b'{"a": 1, "b": {"a": 2}, "c": [{"a": 1}, {"a": 2}]}', ()),
        (b'{"a": 1, "a": 2}', ("a",)),
        (b'{"a": 1, "a": 1, "a": 1}', ("a",)),
        (b'{"spec": {"x": 1, "x": 2}, "spec": {}}', ("spec.x", "spec")),
        (b'{"spec": {"containers": [{"name": "a"}, {"name": "b", "name": "b"}]}}', ("spec.containers[1].name",)),
        (b'{"metadata": {"labels": {"x.io/a": "1", "x.io/a": "2"}}}', ("metadata.labels.x.io/a",)),
        (b'[{"op": "add", "op": "remove"}]', ("[0].op",)),
        (b'{"a": "\\"a\\": 1"}', ()),
        (b'{"a": 1, "a"', ()),
        (b"[" * 100_000, ()),
    ],
)
def test_fields_that_come_twice(body: bytes, paths: tuple[str, ...]) -> None:
    """Of a key that comes twice the last is taken; the paths of all of them are told, each once."""
    assert duplicate_fields(body, "application/json; charset=utf-8") == paths
    assert duplicate_fields(body, "application/merge-patch+json") == paths


def test_what_an_applied_configuration_says_twice() -> None:
    """With the line of each repetition, as YAML libraries of Go tell it."""
    body = b"kind: ConfigMap\nmetadata:\n  name: x\n  name: y\ndata: {a: '1', a: '2'}\nkind: ConfigMap\n"
    assert duplicate_fields(body, "application/apply-patch+yaml") == (
        'line 4: key "name" already set in map',
        'line 5: key "a" already set in map',
        'line 6: key "kind" already set in map',
    )
    for broken in (b"", b"a: [", b"- 1\n"):
        assert duplicate_fields(broken, "application/apply-patch+yaml") == ()


def test_the_last_of_two_counts() -> None:
    """As with every JSON decoder of Kubernetes."""
    assert decode(b'{"a": 1, "a": 2}', "application/json") == {"a": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb'"\ud800"', "\ufffd"),
        (rb'"a\udc00b"', "a\ufffdb"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (b'"\xff"', "\ufffd"),
        (b'"\xc3\xa9"', "é"),
        (rb'["\ud800", 1.0]', ["\ufffd", 1.0]),
    ],
)
def test_what_is_no_unicode(text: bytes, expected: Any) -> None:
    """Half a surrogate pair and bytes that are no UTF-8 are replaced, as Go does; they are no error."""
    assert decode(b'{"a": ' + text + b"}", "application/json") == {"a": expected}
    assert decode_patch(b'{"a": ' + text + b"}", "application/merge-patch+json").content == {"a": expected}


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_that_are_no_numbers(word: str) -> None:
    """Python's words for numbers are no JSON."""
    with pytest.raises(ApiError) as caught:
        decode(f'{{"a": "\\ud800", "b": {word}}}'.encode(), "application/json")
    assert caught.value.code == 400


def test_numbers_of_patches() -> None:
    """A strategic patch is carried out on values, where a whole number is an integer; the others keep the text."""
    body = b'{"a": [1.0, {"b": 1e3}, 1.50, 7]}'
    strategic = decode_patch(body, "application/strategic-merge-patch+json").content["a"]
    assert [(type(item), item) for item in strategic] == [(int, 1), (dict, {"b": 1000}), (float, 1.5), (int, 7)]
    merge = decode_patch(body, "application/merge-patch+json").content["a"]
    assert (merge[0].text, merge[1]["b"].text, merge[2].text, merge[3]) == ("1.0", "1e3", "1.50", 7)


def test_numbers_keep_their_text() -> None:
    """A number with a fraction or an exponent is told as it was written; whole numbers of YAML are integers."""
    found = decode(b'{"a": [1.0, 1e3, 0.10, 7]}', "application/json")["a"]
    assert [getattr(item, "text", item) for item in found] == ["1.0", "1e3", "0.10", 7]
    assert [(type(item), item) for item in decode(b"a: [1.0, 1.0e+3, 0.5, 7]", "application/yaml")["a"]] == [
        (int, 1),
        (int, 1000),
        (float, 0.5),
        (int, 7),
    ]


@pytest.mark.parametrize(
    ("media", "kind"),
    [
        ("application/json-patch+json", "json"),
        ("application/merge-patch+json", "merge"),
        ("application/strategic-merge-patch+json;charset=x", "strategic"),
        ("application/apply-patch+yaml", "apply"),
    ],
)
def test_patches(media: str, kind: str) -> None:
    """Each patch has its media type."""
    assert decode_patch(b"[]", media).type == kind


@pytest.mark.parametrize(
    ("data", "media", "code", "message"),
    [
        (b"{}", "application/json", 415, "415: Unsupported Media Type"),
        (b"", "application/merge-patch+json", 400, "error decoding patch: unexpected end of JSON input"),
        (b"", "application/strategic-merge-patch+json", 400, "unexpected end of JSON input"),
        (
            b'[{"op":"add"}] x',
            "application/json-patch+json",
            400,
            "error decoding patch: invalid character 'x' after top-level value",
        ),
        (b"{", "application/merge-patch+json", 400, None),
    ],
)
def test_bad_patches(data: bytes, media: str, code: int, message: str | None) -> None:
    """Plain JSON is no patch; nor is nothing."""
    with pytest.raises(ApiError) as caught:
        decode_patch(data, media)
    assert caught.value.code == code
    assert message is None or caught.value.message == message
