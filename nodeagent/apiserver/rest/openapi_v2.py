"""The OpenAPI v2 document in the only form that kubectl asks for it: a protobuf of the gnostic `openapi.v2.Document`.

Older kubectls validate manifests with it, learn from it whether a dry run is possible, and explain fields with it. It is made
from the v3 documents.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import yaml

from nodeagent.apiserver.rest.discovery import Document
from nodeagent.apiserver.rest.openapi import OpenApi
from proto import openapi_v2_pb2 as v2
from runtimes.kube.json_object import JsonObject

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_V3 = "#/components/schemas/"
_V2 = "#/definitions/"
_OPERATIONS = ("get", "put", "post", "delete", "patch")


def openapi_v2(openapi: OpenApi) -> Document:
    """One document of all group versions."""
    made = v2.Document(swagger="2.0", info=v2.Info(title="Kubernetes", version="v1"))
    definitions: dict[str, JsonObject] = {}
    for path in openapi.paths():
        document = openapi.document(path)
        assert document is not None  # every path of paths() has one
        v3 = msgspec.json.decode(document.body)
        for name, item in v3["paths"].items():
            made.paths.path.add(name=name).value.CopyFrom(_path_item(item))
        for name, schema in v3["components"]["schemas"].items():
            definitions.setdefault(name, schema)
    for name, schema in definitions.items():
        made.definitions.additional_properties.add(name=name).value.CopyFrom(_schema(schema))
    return Document(body=made.SerializeToString(deterministic=True), content_type=MEDIA_TYPE)


def _path_item(item: Mapping[str, Any]) -> v2.PathItem:
    return v2.PathItem(**{name: _operation(item[name]) for name in _OPERATIONS if name in item})


def _operation(operation: Mapping[str, Any]) -> v2.Operation:
    answer = v2.ResponseValue(response=v2.Response(description="OK"))
    return v2.Operation(
        parameters=[_parameter(parameter) for parameter in operation.get("parameters", ())],
        responses=v2.Responses(response_code=[v2.NamedResponseValue(name="200", value=answer)]),
        vendor_extension=_extensions(operation),
    )


def _parameter(parameter: Mapping[str, Any]) -> v2.ParametersItem:
    # `in` is a word of Python's own
    query = v2.QueryParameterSubSchema(name=parameter["name"], type=parameter["schema"]["type"], **{"in": "query"})
    by_query = v2.NonBodyParameter(query_parameter_sub_schema=query)
    return v2.ParametersItem(parameter=v2.Parameter(non_body_parameter=by_query))


def _schema(schema: JsonObject) -> v2.Schema:
    reference = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf", ())), "")
    made = v2.Schema(
        _ref=reference.replace(_V3, _V2),
        format=schema.get("format", ""),
        description=schema.get("description", ""),
        required=schema.get("required", ()),
        vendor_extension=_extensions(schema),
    )
    # a value of several types: what cannot be said in v2 is said by a format
    if kind := "string" if "oneOf" in schema else schema.get("type", ""):
        made.type.value.append(kind)
    if isinstance(schema.get("additionalProperties"), dict):
        made.additional_properties.schema.CopyFrom(_schema(schema["additionalProperties"]))
    if "items" in schema:
        made.items.schema.append(_schema(schema["items"]))
    if "properties" in schema:
        made.properties.SetInParent()
        for name, inner in schema["properties"].items():
            made.properties.additional_properties.add(name=name).value.CopyFrom(_schema(inner))
    return made


def _extensions(value: Mapping[str, Any]) -> Iterable[v2.NamedAny]:
    """One for every `x-` member."""
    return [
        v2.NamedAny(name=name, value=v2.Any(yaml=yaml.safe_dump(inner, sort_keys=True)))
        for name, inner in value.items()
        if name.startswith("x-")
    ]
