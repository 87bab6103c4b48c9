"""Faults of JSON texts in the words of Go's decoder."""

import pytest

from nodeagent.apiserver.rest.go_json import END, kind_of, syntax_error


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", END),
        (b"  ", END),
        (b'{"a":', END),
        (b'"abc', END),
        (b'{"a":1}x', "invalid character 'x' after top-level value"),
        (b"{a:1}", "invalid character 'a' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b'{"a":[1 2]}', "invalid character '2' after array element"),
        (b'{"a":"[" 2}', "invalid character '2' after object key:value pair"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b"nope", "invalid character 'o' in literal null (expecting 'u')"),
        (b"tru", END),
        (b"'a'", r"invalid character '\'' looking for beginning of value"),
        (b'"a\nb"', r"invalid character '\n' in string literal"),
        (b"kind: Pod", "invalid character 'k' looking for beginning of value"),
        (b'{"a": 1}', ""),
    ],
)
def test_syntax_errors(data: bytes, text: str) -> None:
    """The first character that does not fit, and what was looked for."""
    assert syntax_error(data) == text


def test_kinds() -> None:
    """JSON's own names of types."""
    assert [kind_of(value) for value in ({}, [], "", True, 1, 1.5, None)] == [
        "object",
        "array",
        "string",
        "bool",
        "number",
        "number",
        "null",
    ]
