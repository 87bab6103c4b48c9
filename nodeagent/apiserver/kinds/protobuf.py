"""Kubernetes protobuf request bodies as JSON objects.

kubectl from 1.32 on, and most controllers, send some bodies as `application/vnd.kubernetes.protobuf`: four magic bytes, then a
`runtime.Unknown` message that carries the type and the object's own bytes. The message shapes are data
(protobuf_messages.json): for every message its fields as `number:name:type`, where an empty name means that the
sub-message's fields belong to the parent in JSON, `[]T` is a list, `map<T>` a map from string, and `!` marks a field whose
zero value says something (a pointer in the API's own types). Everything else that is zero is left out, as JSON clients
leave it out. The numbers are those that kubectl 1.32 carries; numbers of later releases are skipped.
"""

import base64
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.timestamps import rfc3339, rfc3339_micro

MAGIC: Final = b"k8s\x00"
CONTENT_TYPE: Final = "application/vnd.kubernetes.protobuf"
MAX_DEPTH: Final = 64

Json = dict[str, Any]
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_INT32_SIGN, _INT64_SIGN = 1 << 31, 1 << 63


class ProtobufError(ApiError):
    """The body is not a message: 400."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "BadRequest", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a message; `name` is empty when its content is inlined into the parent."""

    name: str
    type: str
    repeated: bool
    mapped: bool
    keep_zero: bool


Message = dict[int, Field]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Every known message, and which one an `apiVersion kind` pair starts with."""

    roots: dict[str, str]
    messages: dict[str, str]


def decode(body: bytes) -> Json:
    """Return the JSON object, with apiVersion and kind, of a whole `k8s\\0` frame.

    Raises ApiError: 400 for a broken frame, 415 for an unknown kind.
    """
    if not body.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    api_version = kind = ""
    raw = b""
    for number, value in _fields(body[len(MAGIC) :]):
        if number == 1 and isinstance(value, bytes):
            for inner, text in _fields(value):
                if inner == 1 and isinstance(text, bytes):
                    api_version = _text(text)
                elif inner == 2 and isinstance(text, bytes):
                    kind = _text(text)
        elif number == 2 and isinstance(value, bytes):
            raw = value
    message = _root(api_version, kind)
    return {"kind": kind, "apiVersion": api_version, **decode_message(message, raw)}


def decode_message(message: str, raw: bytes) -> Json:
    """Return the JSON form of one message's bytes, without apiVersion and kind. Raises ProtobufError."""
    return _message(message, raw, 0)


def _root(api_version: str, kind: str) -> str:
    if kind == "DeleteOptions":
        return "meta.v1.DeleteOptions"
    message = _tables().roots.get(f"{api_version} {kind}")
    if message is None:
        text = f'no kind "{kind}" is registered for version "{api_version}" in protobuf form'
        raise ApiError(415, "UnsupportedMediaType", text)
    return message


@lru_cache(maxsize=1)
def _tables() -> Tables:
    text = resources.files(__package__).joinpath("protobuf_messages.json").read_text(encoding="ascii")
    raw = json.loads(text)
    return Tables(roots=raw["roots"], messages=raw["messages"])


@lru_cache(maxsize=512)
def message_fields(name: str) -> Message:
    """Return the field table of one message. Raises ProtobufError for a message that is not in it."""
    line = _tables().messages.get(name)
    if line is None:
        raise ProtobufError(f"unknown protobuf message {name}")
    fields: Message = {}
    for entry in line.split():
        number, json_name, kind = entry.split(":", 2)
        keep_zero = kind.endswith("!")
        kind = kind.removesuffix("!")
        mapped, repeated = kind.startswith("map<"), kind.startswith("[]")
        inner = kind[4:-1] if mapped else kind.removeprefix("[]")
        fields[int(number)] = Field(name=json_name, type=inner, repeated=repeated, mapped=mapped, keep_zero=keep_zero)
    return fields


def _message(name: str, raw: bytes, depth: int) -> Json:
    if depth > MAX_DEPTH:
        raise ProtobufError("protobuf message is nested too deeply")
    table = message_fields(name)
    result: Json = {}
    for number, value in _fields(raw):
        field = table.get(number)
        if field is None:
            continue
        if field.mapped:
            key, item = _map_entry(field, value, depth)
            result.setdefault(field.name, {})[key] = item
        elif field.repeated:
            result.setdefault(field.name, []).extend(_items(field, value, depth))
        elif not field.name:
            result.update(_message(field.type, _bytes(value), depth + 1))
        else:
            item = _value(field.type, value, depth)
            if item is not None and (field.keep_zero or item not in ("", 0, False) or isinstance(item, dict | list)):
                result[field.name] = item
    return result


def _items(field: Field, value: int | bytes, depth: int) -> list[Any]:
    """Return the element, or the elements of a packed list of numbers."""
    if field.type in ("int32", "int64", "bool") and isinstance(value, bytes):
        items = []
        offset = 0
        while offset < len(value):
            number, offset = _varint(value, offset)
            items.append(_value(field.type, number, depth))
        return items
    return [_value(field.type, value, depth)]


def _map_entry(field: Field, value: int | bytes, depth: int) -> tuple[str, Any]:
    key = ""
    item: Any = "" if field.type in ("string", "bytes") else None
    for number, part in _fields(_bytes(value)):
        if number == 1:
            key = _text(_bytes(part))
        elif number == 2:
            item = _value(field.type, part, depth)
    return key, item


def _value(kind: str, value: int | bytes, depth: int) -> Any:
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(value)
    return _message(kind, _bytes(value), depth + 1)


def _int32(value: int | bytes) -> int:
    number = _int(value) & 0xFFFFFFFF
    return number - (1 << 32) if number & _INT32_SIGN else number


def _int64(value: int | bytes) -> int:
    number = _int(value)
    return number - (1 << 64) if number & _INT64_SIGN else number


def _double(value: int | bytes) -> float:
    (number,) = struct.unpack("<d", _int(value).to_bytes(8, "little"))
    return float(number)


def _time(value: int | bytes) -> str | None:
    seconds, nanos = _time_parts(value)
    return rfc3339(seconds) if seconds or nanos else None


def _micro_time(value: int | bytes) -> str | None:
    seconds, nanos = _time_parts(value)
    return rfc3339_micro(seconds, nanos // 1000) if seconds or nanos else None


def _time_parts(value: int | bytes) -> tuple[int, int]:
    parts = {number: _int64(item) for number, item in _fields(_bytes(value))}
    return parts.get(1, 0), parts.get(2, 0)


def _quantity(value: int | bytes) -> str:
    return next((_text(_bytes(item)) for number, item in _fields(_bytes(value)) if number == 1), "0")


def _int_or_string(value: int | bytes) -> int | str:
    parts = dict(_fields(_bytes(value)))
    if _int(parts.get(1, 0)) == 0:
        return _int32(parts.get(2, 0))
    return _text(_bytes(parts.get(3, b"")))


def _embedded_json(value: int | bytes) -> Any:
    raw = next((_bytes(item) for number, item in _fields(_bytes(value)) if number == 1), b"")
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        raise ProtobufError(f"embedded JSON is broken: {error}") from error


def _string(value: int | bytes) -> str:
    return _text(_bytes(value))


def _base64(value: int | bytes) -> str:
    return base64.b64encode(_bytes(value)).decode("ascii")


def _bool(value: int | bytes) -> bool:
    return _int(value) != 0


def _string_list(value: int | bytes) -> list[str]:
    return [_text(_bytes(item)) for number, item in _fields(_bytes(value)) if number == 1]


_SPECIAL: Final[dict[str, Callable[[int | bytes], Any]]] = {
    "string": _string,
    "bytes": _base64,
    "bool": _bool,
    "int32": _int32,
    "int64": _int64,
    "double": _double,
    "meta.v1.Time": _time,
    "meta.v1.MicroTime": _micro_time,
    "resource.Quantity": _quantity,
    "intstr.IntOrString": _int_or_string,
    "meta.v1.FieldsV1": _embedded_json,
    "runtime.RawExtension": _embedded_json,
    "authentication.v1.ExtraValue": _string_list,
    "authorization.v1.ExtraValue": _string_list,
    "certificates.v1.ExtraValue": _string_list,
}


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, integer or bytes) of a message, in the order sent."""
    offset = 0
    while offset < len(raw):
        tag, offset = _varint(raw, offset)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise ProtobufError("illegal tag 0 in protobuf message")
        value: int | bytes
        if wire == _VARINT:
            value, offset = _varint(raw, offset)
        elif wire == _BYTES:
            length, offset = _varint(raw, offset)
            value, offset = _take(raw, offset, length)
        elif wire in (_FIXED64, _FIXED32):
            data, offset = _take(raw, offset, 8 if wire == _FIXED64 else 4)
            value = int.from_bytes(data, "little")
        else:
            raise ProtobufError(f"illegal wire type {wire} in protobuf message")
        yield number, value


def _take(raw: bytes, offset: int, length: int) -> tuple[bytes, int]:
    end = offset + length
    if end > len(raw):
        raise ProtobufError("unexpected EOF in protobuf message")
    return raw[offset:end], end


def _varint(raw: bytes, offset: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if offset >= len(raw):
            raise ProtobufError("unexpected EOF in protobuf message")
        byte = raw[offset]
        offset += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & (2**64 - 1), offset
        shift += 7
        if shift > 63:
            raise ProtobufError("protobuf integer overflows 64 bits")


def _int(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ProtobufError("wrong wire type: expected a number")
    return value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ProtobufError("wrong wire type: expected bytes")
    return value


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtobufError("string field contains invalid UTF-8") from error
