"""Kubernetes protobuf request bodies as JSON objects.

kubectl from 1.32 on, and most controllers, send some bodies as `application/vnd.kubernetes.protobuf`: four magic bytes, then a
`runtime.Unknown` message that carries the type and the object's own bytes. The message shapes are data
(protobuf_messages.json): for every message its fields as `number:name:type`, where an empty name means that the
sub-message's fields belong to the parent in JSON, `[]T` is a list, `map<T>` a map from string, and `!` marks a field whose
zero value says something (a pointer in the API's own types). Everything else that is zero is left out, as JSON clients
leave it out. The numbers are those that kubectl 1.32 carries; numbers of later releases are skipped.

The bytes are read by the protobuf library, with descriptors made of that table (`protobuf_types`).
"""

import base64
import json
from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.protobuf_types import Field, Shape, root_of, shape_of
from nodeagent.apiserver.kinds.timestamps import rfc3339, rfc3339_micro
from runtimes.kube.json_errors import UNREADABLE
from runtimes.kube.json_object import JsonObject

MAGIC = b"k8s\x00"


class ProtobufError(ApiError):
    """The body is not a message: 400."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "BadRequest", message)


def decode(body: bytes) -> JsonObject:
    """Return the JSON object, with apiVersion and kind, of a whole `k8s\\0` frame.

    Raises ApiError: 400 for a broken frame, 415 for an unknown kind.
    """
    if not body.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    frame: Any = _parsed(shape_of("runtime.Unknown"), body[len(MAGIC) :])
    api_version, kind = frame.typeMeta.apiVersion, frame.typeMeta.kind
    root = root_of(api_version, kind)
    if root is None:
        text = f'no kind "{kind}" is registered for version "{api_version}" in protobuf form'
        raise ApiError(415, "UnsupportedMediaType", text)
    return {"kind": kind, "apiVersion": api_version, **decode_message(root, frame.raw)}


def decode_message(name: str, raw: bytes) -> JsonObject:
    """Return the JSON form of one message's bytes, without apiVersion and kind. Raises ProtobufError."""
    shape = shape_of(name)
    return _object(shape, _parsed(shape, raw))


def _parsed(shape: Shape, raw: bytes) -> Message:
    message = shape.type()
    try:
        message.ParseFromString(raw)
    except (DecodeError, UnicodeDecodeError) as error:
        raise ProtobufError(f"the body is no protobuf message {shape.name}: {error}") from error
    return message


def _object(shape: Shape, message: Message) -> JsonObject:
    # to the library a known field of a wrong wire type is an unknown one
    unknown = UnknownFieldSet(message)
    numbers = [unknown[index].field_number for index in range(len(unknown))]
    if wrong := [number for number in numbers if number in shape.fields]:
        raise ProtobufError(f"wrong wire type of field {wrong[0]} of {shape.name}")
    result: JsonObject = {}
    for descriptor, value in message.ListFields():
        field = shape.fields[descriptor.number]
        if field.mapped:
            result[field.name] = {key: _value(field, value[key]) for key in value}
        elif field.repeated:
            result[field.name] = [_value(field, item) for item in value]
        elif not field.name:
            result.update(_object(shape_of(field.type), value))
        else:
            item = _value(field, value)
            if item is not None and (field.keep_zero or item not in ("", 0, False) or isinstance(item, dict | list)):
                result[field.name] = item
    return result


def _value(field: Field, value: Any) -> Any:
    special = _SPECIAL.get(field.type)
    if special is not None:
        return special(value)
    return _object(shape_of(field.type), value) if isinstance(value, Message) else value


def _time(value: Any) -> str | None:
    return rfc3339(value.seconds) if value.seconds or value.nanos else None


def _micro_time(value: Any) -> str | None:
    return rfc3339_micro(value.seconds, value.nanos // 1000) if value.seconds or value.nanos else None


def _quantity(value: Any) -> str:
    return str(value.string) if value.HasField("string") else "0"


def _int_or_string(value: Any) -> int | str:
    return str(value.strVal) if value.type else int(value.intVal)


def _embedded_json(value: Any) -> Any:
    if not value.raw:
        return None
    try:
        return json.loads(value.raw)
    except UNREADABLE as error:
        raise ProtobufError(f"embedded JSON is broken: {error}") from error


_SPECIAL: dict[str, Callable[[Any], Any]] = {
    "bytes": lambda value: base64.b64encode(value).decode("ascii"),
    "meta.v1.Time": _time,
    "meta.v1.MicroTime": _micro_time,
    "resource.Quantity": _quantity,
    "intstr.IntOrString": _int_or_string,
    "meta.v1.FieldsV1": _embedded_json,
    "runtime.RawExtension": _embedded_json,
    "authentication.v1.ExtraValue": lambda value: list(value.items),
    "authorization.v1.ExtraValue": lambda value: list(value.items),
    "certificates.v1.ExtraValue": lambda value: list(value.items),
}
