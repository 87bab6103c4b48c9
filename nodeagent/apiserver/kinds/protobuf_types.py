"""The API's protobuf messages, as types of the protobuf library, made of one table (protobuf_messages.json)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

_PACKAGE = "k8s"
# Messages that have a form of their own in JSON, or are the frame around all others; written as those of the table.
_OWN_FORM = {
    "runtime.TypeMeta": "1:apiVersion:string 2:kind:string",
    "runtime.Unknown": "1:typeMeta:runtime.TypeMeta 2:raw:bytes 3:contentEncoding:string 4:contentType:string",
    "runtime.RawExtension": "1:raw:bytes",
    "meta.v1.FieldsV1": "1:raw:bytes",
    "meta.v1.Time": "1:seconds:int64 2:nanos:int32",
    "meta.v1.MicroTime": "1:seconds:int64 2:nanos:int32",
    "resource.Quantity": "1:string:string",
    "intstr.IntOrString": "1:type:int64 2:intVal:int32 3:strVal:string",
    "authentication.v1.ExtraValue": "1:items:[]string",
    "authorization.v1.ExtraValue": "1:items:[]string",
    "certificates.v1.ExtraValue": "1:items:[]string",
}
_FieldProto = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FieldProto.TYPE_STRING,
    "bytes": _FieldProto.TYPE_BYTES,
    "bool": _FieldProto.TYPE_BOOL,
    "int32": _FieldProto.TYPE_INT32,
    "int64": _FieldProto.TYPE_INT64,
    "double": _FieldProto.TYPE_DOUBLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a message; `name` is empty when its content is inlined into the parent."""

    number: int
    name: str
    type: str
    repeated: bool
    mapped: bool
    keep_zero: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One message: the library's type of it, and what its fields, by number, are in JSON."""

    name: str
    type: type[Message]
    fields: dict[int, Field]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Every known message, and which one an `apiVersion kind` pair starts with."""

    roots: dict[str, str]
    messages: dict[str, str]


def root_of(api_version: str, kind: str) -> str | None:
    """The message of an object of this type; None where the type is not known in this form."""
    return "meta.v1.DeleteOptions" if kind == "DeleteOptions" else tables().roots.get(f"{api_version} {kind}")


@lru_cache(maxsize=512)
def shape_of(name: str) -> Shape:
    """Raises KeyError for a message that is not in the table."""
    descriptor = _pool().FindMessageTypeByName(f"{_PACKAGE}.{_type_name(name)}")
    fields = {field.number: field for field in message_fields(name)}
    return Shape(name=name, type=message_factory.GetMessageClass(descriptor), fields=fields)


@lru_cache(maxsize=1)
def tables() -> Tables:
    text = resources.files(__package__).joinpath("protobuf_messages.json").read_text(encoding="ascii")
    raw = json.loads(text)
    return Tables(roots=raw["roots"], messages={**raw["messages"], **_OWN_FORM})


def message_fields(name: str) -> Iterator[Field]:
    """The fields of one message of the table. Raises KeyError."""
    for entry in tables().messages[name].split():
        number, json_name, kind = entry.split(":", 2)
        keep_zero = kind.endswith("!")
        kind = kind.removesuffix("!")
        mapped, repeated = kind.startswith("map<"), kind.startswith("[]")
        inner = kind[4:-1] if mapped else kind.removeprefix("[]")
        yield Field(
            number=int(number), name=json_name, type=inner, repeated=repeated, mapped=mapped, keep_zero=keep_zero
        )


@lru_cache(maxsize=1)
def _pool() -> descriptor_pool.DescriptorPool:
    # proto3, because its strings must be UTF-8
    file = descriptor_pb2.FileDescriptorProto(name="kubernetes.proto", package=_PACKAGE, syntax="proto3")
    for name in tables().messages:
        message = file.message_type.add(name=_type_name(name))
        for field in message_fields(name):
            _add(message, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add(message: descriptor_pb2.DescriptorProto, field: Field) -> None:
    made = message.field.add(name=field.name or f"inline{field.number}", number=field.number)
    made.label = _FieldProto.LABEL_REPEATED if field.repeated or field.mapped else _FieldProto.LABEL_OPTIONAL
    if field.mapped:
        entry = message.nested_type.add(name=f"{made.name[0].upper()}{made.name[1:]}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=_FieldProto.TYPE_STRING, label=_FieldProto.LABEL_OPTIONAL)
        value = entry.field.add(name="value", number=2, label=_FieldProto.LABEL_OPTIONAL)
        _set_type(value, field.type)
        made.type = _FieldProto.TYPE_MESSAGE
        made.type_name = f".{_PACKAGE}.{message.name}.{entry.name}"
        return
    _set_type(made, field.type)
    if not field.repeated and field.type in _SCALARS:
        # a zero that was sent is told from none at all
        made.proto3_optional = True
        made.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{made.name}")


def _set_type(made: descriptor_pb2.FieldDescriptorProto, kind: str) -> None:
    if kind in _SCALARS:
        made.type = _SCALARS[kind]
    else:
        made.type = _FieldProto.TYPE_MESSAGE
        made.type_name = f".{_PACKAGE}.{_type_name(kind)}"


def _type_name(name: str) -> str:
    return name.replace(".", "_")
