"""The OpenAPI v2 document in the only form that kubectl asks for it: a protobuf of the gnostic ``openapi.v2.Document``.

Older kubectls validate manifests with it, learn from it whether a dry run is possible, and explain fields with it. It is made
from the v3 documents; the field numbers are those of the gnostic message definitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import yaml

from nodeagent.apiserver.rest.discovery import Document
from nodeagent.apiserver.rest.openapi import OpenApi
from nodeagent.apiserver.storage.stored import Object

MEDIA_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_V3: Final = "#/components/schemas/"
_V2: Final = "#/definitions/"
_OPERATIONS: Final = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def openapi_v2(openapi: OpenApi) -> Document:
    """One document of all group versions."""
    paths: list[bytes] = []
    definitions: dict[str, bytes] = {}
    for path in openapi.paths():
        document = openapi.document(path)
        assert document is not None  # every path of paths() has one
        v3 = msgspec.json.decode(document.body)
        paths += [_field(2, _named(name, _path_item(item))) for name, item in v3["paths"].items()]
        for name, schema in v3["components"]["schemas"].items():
            definitions.setdefault(name, _schema(schema))
    info = _text(1, "Kubernetes") + _text(2, "v1")
    named = (_field(1, _named(name, schema)) for name, schema in definitions.items())
    body = _text(1, "2.0") + _field(2, info) + _field(8, b"".join(paths)) + _field(9, b"".join(named))
    return Document(body=body, content_type=MEDIA_TYPE)


def _path_item(item: Mapping[str, Any]) -> bytes:
    return b"".join(_field(number, _operation(item[name])) for name, number in _OPERATIONS.items() if name in item)


def _operation(operation: Mapping[str, Any]) -> bytes:
    parameters = b"".join(_field(8, _parameter(p)) for p in operation.get("parameters", ()))
    response = _text(1, "OK")
    # Responses { response_code = [NamedResponseValue { name, ResponseValue { response } }] }
    responses = _field(1, _named("200", _field(1, response)))
    return parameters + _field(9, responses) + b"".join(_field(13, e) for e in _extensions(operation))


def _parameter(parameter: Mapping[str, Any]) -> bytes:
    """ParametersItem.parameter.non_body_parameter.query_parameter_sub_schema."""
    query = _text(2, "query") + _text(4, parameter["name"]) + _text(6, parameter["schema"]["type"])
    return _field(1, _field(2, _field(3, query)))


def _schema(schema: Object) -> bytes:
    parts = [_text(4, schema.get("description", ""))]
    reference = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf", ())), "")
    if reference:
        parts.append(_text(1, reference.replace(_V3, _V2)))
    kind, shape = schema.get("type", ""), schema.get("format", "")
    if "oneOf" in schema:
        # a value of several types: what cannot be said in v2 is said by a format
        kind = "string"
    parts.append(_text(2, shape))
    parts += [_text(19, name) for name in schema.get("required", ())]
    if isinstance(schema.get("additionalProperties"), dict):
        parts.append(_field(21, _field(1, _schema(schema["additionalProperties"]))))
    if kind:
        parts.append(_field(22, _text(1, kind)))
    if "items" in schema:
        parts.append(_field(23, _field(1, _schema(schema["items"]))))
    if "properties" in schema:
        named = (_field(1, _named(name, _schema(inner))) for name, inner in schema["properties"].items())
        parts.append(_field(25, b"".join(named)))
    parts += [_field(31, extension) for extension in _extensions(schema)]
    return b"".join(parts)


def _extensions(value: Mapping[str, Any]) -> Iterable[bytes]:
    """NamedAny { name, Any { yaml } } for every ``x-`` member."""
    for name, inner in value.items():
        if name.startswith("x-"):
            yield _named(name, _text(2, yaml.safe_dump(inner, sort_keys=True)))


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _field(2, value)


def _text(number: int, text: str) -> bytes:
    """A string field; left out when empty."""
    return _field(number, text.encode()) if text else b""


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
