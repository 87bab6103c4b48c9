"""How single values are read, and the form they are written in."""

from typing import Any

import pytest

from nodeagent.apitypes.scalars import Number, Refused, reader_of
from nodeagent.apitypes.schema import Scalar

FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
SUFFIX = "unable to parse quantity's suffix"


def read(name: Any, value: Any) -> Any:
    try:
        return reader_of(Scalar(name=name, go="x"))(value)
    except Refused as error:
        return error.args[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.5", "500m"),
        (Number("0.5"), "500m"),
        ("1024Mi", "1Gi"),
        ("1000Mi", "1000Mi"),
        ("1000M", "1G"),
        ("1000", "1k"),
        (1000, "1k"),
        ("1024", "1024"),
        (Number("1e3"), "1e3"),
        (Number("1.0"), "1"),
        ("1E3", "1e3"),
        ("0Gi", "0"),
        ("-0", "0"),
        ("+5", "5"),
        (" 5 ", "5"),
        ("1.5Gi", "1536Mi"),
        ("0.1n", "1n"),
        ("100m", "100m"),
        ("1000m", "1"),
        (".5", "500m"),
        ("5.", "5"),
        ("", FORMAT),
        ("many", FORMAT),
        ("1 Gi", FORMAT),
        ("1.2.3", FORMAT),
        ("0x10", FORMAT),
        ("1kB", FORMAT),
        ("1g", FORMAT),
        ("1K", SUFFIX),
        ("1mm", SUFFIX),
        ("1Mib", FORMAT),
        ("1e", SUFFIX),
        ("1GiM", SUFFIX),
        (True, FORMAT),
        ([], FORMAT),
    ],
)
def test_quantities(value: Any, expected: str) -> None:
    """A quantity is written in its canonical form; what is none is refused in the words of its parser."""
    assert read("quantity", value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("YQ==", "YQ=="),
        ("YW\nI=\r\n", "YWI="),
        ("YWJj\n", "YWJj"),
        ("YR==", "YQ=="),  # the bits that pad are free
        ("YQ=\n=", "YQ=="),
        ("YQ", "illegal base64 data at input byte 0"),
        ("YWJjYQ", "illegal base64 data at input byte 4"),
        ("YWJjY", "illegal base64 data at input byte 4"),
        ("YQ=", "illegal base64 data at input byte 3"),
        ("YQ=a", "illegal base64 data at input byte 2"),
        ("YQ==YQ==", "illegal base64 data at input byte 4"),
        ("Y===", "illegal base64 data at input byte 1"),
        ("====", "illegal base64 data at input byte 0"),
        ("YWJj=", "illegal base64 data at input byte 4"),
        ("a b=", "illegal base64 data at input byte 1"),
        ("YW-_", "illegal base64 data at input byte 2"),
        ("YWé=", "illegal base64 data at input byte 2"),
    ],
)
def test_base64(text: str, expected: str) -> None:
    """Line breaks may stand anywhere, padding is required; the byte where Go's decoder stops is told."""
    assert read("bytes", text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("http", "http"), ("", ""), ("80", "80"), (80, 80), (0, 0), (-1, -1)],
)
def test_integers_or_strings(value: Any, expected: Any) -> None:
    """Each stays what it is."""
    assert read("int-or-string", value) == expected


def test_free_json_has_plain_numbers() -> None:
    """Where no type says what a value is, it stays; the text of a number is no matter then."""
    found = read("json", {"a": [Number("1.0"), {"b": None}]})
    assert (found, type(found["a"][0])) == ({"a": [1.0, {"b": None}]}, float)
