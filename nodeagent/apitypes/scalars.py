"""Values without parts: how each is read from JSON, and the form in which it is written again.

A reader takes a decoded JSON value (never null) and returns the value in its written form. It raises `Mismatch` for a JSON
value of another type, `Refused` for a text that the type cannot take.
"""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from typing_extensions import override

from nodeagent.apitypes.schema import Scalar, ScalarName
from nodeagent.apitypes.times import BadTime, parse_micro_time, parse_time
from runtimes.kube import quantity
from runtimes.kube.canonical_quantity import canonical

Reader = Callable[[Any], Any]

_GO_FORMS: Mapping[type, str] = {str: "string", bool: "bool", int: "int64", list: "slice", dict: "map"}
_JSON_NAMES: Mapping[type, str] = {str: "string", bool: "bool", list: "array", dict: "object"}
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_BASE64_LETTER = re.compile(r"[A-Za-z0-9+/]")
_QUANTITY = re.compile(r"[+-]?[0-9]*(?:\.[0-9]*)?([eEinumkKMGTP]*[+-]?[0-9]*)")
_SUFFIX = re.compile(r"|[numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+")
_SUFFIX_ERROR = "unable to parse quantity's suffix"
_ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)
_NUMBER_ERROR = "unable to parse numeric part of quantity"


class Number(float):
    """A JSON number that is no integer literal, with the text it was written in: `1.0`, `1e3`."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "Number":
        self = super().__new__(cls, text)
        self.text = text
        return self


def number_as_written(value: Any) -> Any:
    """For `msgspec.json.encode`, which does not know `Number`."""
    if isinstance(value, Number):
        return msgspec.Raw(value.text.encode())
    raise NotImplementedError


class Mismatch(Exception):
    """A JSON value of the wrong type. `steps` and `owner` are filled in on the way up: the path of the field, innermost
    first, and the struct that it is a field of.

    `form` is what the type is made of in Go (`string`, `int64`, `map`, `slice`, `struct`), "" for one that reads its
    own JSON; `literal`: a number is quoted as it was written.
    """

    def __init__(self, value: Any, expected: str, form: str = "", *, literal: bool = False) -> None:
        number = literal and json_name(value) == "number"
        self.value = value
        self.found = f"number {number_text(value)}" if number else json_name(value)
        self.expected = expected
        self.form = form
        self.owner = ""
        self.steps: list[str] = []

    @override
    def __str__(self) -> str:
        path = ".".join(reversed(self.steps))
        return f"json: cannot unmarshal {self.found} into Go struct field {self.owner}.{path} of type {self.expected}"

    @property
    def restoring(self) -> str:
        """In the words of Go's converter from maps, which is what reads the result of a strategic merge patch."""
        found = _GO_FORMS.get(type(self.value), "float64")
        match self.form:
            case "":
                return f"json: cannot unmarshal {self.found} into Go value of type {self.expected}"
            case "map" | "slice":
                return f"cannot restore {self.form} from {found}"
            case "struct":
                return f"cannot restore struct from: {found}"
            case "string" if found == "int64":
                return f"cannot convert int64 to {self.expected}"
            case "int32" | "int64" if self.found.startswith("number"):
                return f"cannot convert {found} to {self.expected}"
        return f"unrecognized type: {self.form}"


class Refused(Exception):
    """A text that its type cannot take; the words are the type's own. `steps` as those of a `Mismatch`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.steps: list[str] = []

    @property
    def restoring(self) -> str:
        """As `Mismatch.restoring`."""
        return str(self)


class BadBase64(Refused):
    """`offset` is where Go's decoder stops."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"illegal base64 data at input byte {offset}")

    @property
    @override
    def restoring(self) -> str:
        return f"error decoding from json: {self}"


def reader_of(scalar: Scalar) -> Reader:
    """The reader of one scalar type."""
    name, go = scalar.name, scalar.go

    def text(value: Any) -> Any:
        if type(value) is not str:
            raise Mismatch(value, go, "string")
        return value

    def flag(value: Any) -> Any:
        if value is True or value is False:
            return value
        raise Mismatch(value, go, "bool")

    if name == "string":
        return text
    if name == "bool":
        return flag
    return _READERS[name]


def json_name(value: Any) -> str:
    """What Go's decoder calls the JSON type of a value."""
    return _JSON_NAMES.get(type(value), "number")


def _integer(bits: int, *, own: bool = False) -> Reader:
    """`own`: part of a type that reads its own JSON."""
    low, high, go = -(2 ** (bits - 1)), 2 ** (bits - 1), f"int{bits}"
    form = "" if own else go

    def read(value: Any) -> Any:
        if type(value) is int and low <= value < high:
            return value
        raise Mismatch(value, go, form, literal=True)

    return read


def number_text(value: int | float) -> str:
    """A number as it was written."""
    return value.text if isinstance(value, Number) else str(value)


def _int_or_string(value: Any) -> Any:
    return value if type(value) is str else _INT_OF_EITHER(value)


def _quantity(value: Any) -> Any:
    if type(value) is str:
        return canonical_quantity(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return canonical_quantity(number_text(value))
    raise Refused(str(quantity.InvalidQuantity("")))


@lru_cache(maxsize=4096)
def canonical_quantity(text: str) -> str:
    """`1024Mi` as `1Gi`, `0.5` as `500m`. Raises Refused."""
    try:
        return canonical(text)
    except quantity.InvalidQuantity as error:
        form = _QUANTITY.fullmatch(text)
        if not text or form is None:
            raise Refused(str(error)) from error
        raise Refused(_NUMBER_ERROR if _SUFFIX.fullmatch(form[1]) else _SUFFIX_ERROR) from error


def _time(value: Any) -> Any:
    return _moment(value, parse_time, "seconds")


def _micro_time(value: Any) -> Any:
    return _moment(value, parse_micro_time, "microseconds")


def _moment(value: Any, parse: Callable[[str], datetime], precision: str) -> Any:
    """The time in UTC, to seconds or microseconds; None for the zero time, which is written as null."""
    if type(value) is not str:
        raise Mismatch(value, "string")
    try:
        moment = parse(value)
    except BadTime as error:
        raise Refused(str(error)) from error
    return None if moment == _ZERO_TIME else moment.isoformat(timespec=precision)[:-6] + "Z"


def _bytes(value: Any) -> Any:
    if type(value) is str:
        return _canonical_base64(value)
    if type(value) is list:
        return base64.b64encode(bytes(_octet(item) for item in value)).decode("ascii")
    raise Mismatch(value, "[]uint8", "slice")


def _octet(value: Any) -> int:
    if value is None:
        return 0
    if type(value) is int and 0 <= value < 256:
        return value
    raise Mismatch(value, "uint8", "uint8", literal=True)


def _canonical_base64(text: str) -> str:
    """As Go reads it: line breaks anywhere, padding required, bits that pad are free."""
    if "\n" in text or "\r" in text:
        joined = text.replace("\n", "").replace("\r", "")
    else:
        joined = text
    if _BASE64.fullmatch(joined) is None:
        raise BadBase64(_first_bad_base64(text))
    if joined.endswith("="):
        return base64.b64encode(base64.b64decode(joined)).decode("ascii")
    return joined


def _first_bad_base64(text: str) -> int:
    """Where Go's decoder stops."""
    offset, group = 0, 0
    while offset < len(text):
        letter = text[offset]
        offset += 1
        if letter in "\r\n":
            continue
        if _BASE64_LETTER.fullmatch(letter):
            group = (group + 1) % 4
            continue
        if letter != "=" or group < 2:
            return offset - 1
        offset = _past_breaks(text, offset)
        if group == 2:
            if offset == len(text):
                return offset
            if text[offset] != "=":
                return offset - 1
            offset = _past_breaks(text, offset + 1)
        return offset
    return offset - group


def _past_breaks(text: str, offset: int) -> int:
    while offset < len(text) and text[offset] in "\r\n":
        offset += 1
    return offset


def _anything(value: Any) -> Any:
    """A copy; numbers are only numbers here."""
    if isinstance(value, dict):
        return {key: _anything(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_anything(item) for item in value]
    return float(value) if isinstance(value, Number) else value


_INT_OF_EITHER = _integer(32, own=True)
_READERS: Mapping[ScalarName, Reader] = {
    "int32": _integer(32),
    "int64": _integer(64),
    "int-or-string": _int_or_string,
    "quantity": _quantity,
    "time": _time,
    "micro-time": _micro_time,
    "bytes": _bytes,
    "json": _anything,
}
