"""OpenAPI v3 documents generated from the table of types, one per group and version. Descriptions are the models'.

kubectl reads them to learn that the server validates fields (`fieldValidation` of a patch operation), how to merge lists
(`x-kubernetes-patch-*`), and what `explain` prints.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.registry.resource import Resource, Subresource
from nodeagent.apiserver.registry.texts import text_of
from nodeagent.apiserver.rest.discovery import Document
from nodeagent.apiserver.rest.negotiation import JSON, PROTOBUF, YAML
from nodeagent.apitypes.schema import (
    Field,
    ListOf,
    MapOf,
    Scalar,
    Struct,
    Type,
    struct,
    struct_for,
    table_digest,
)
from runtimes.kube.json_object import JsonObject

_PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_SCALARS: Mapping[str, JsonObject] = {
    "string": {"type": "string"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "format": "byte"},
    "time": {"type": "string", "format": "date-time"},
    "micro-time": {"type": "string", "format": "date-time"},
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "int-or-string": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    "json": {"type": "object"},
}
_QUERY: Mapping[str, str] = {
    "dryRun": "string",
    "fieldManager": "string",
    "fieldValidation": "string",
    "force": "boolean",
}


class OpenApi:
    """The documents, each made when first asked for."""

    def __init__(self, registry: Registry) -> None:
        self._resources = tuple(resource for resource in registry.resources if not resource.measured)
        self._documents: dict[str, Document] = {}

    def paths(self) -> list[str]:
        """Paths of group versions without the leading slash: `api/v1`, `apis/node.k8s.io/v1`."""
        return list(dict.fromkeys(_root(resource)[1:] for resource in self._resources))

    def index(self) -> Document:
        """`/openapi/v3`: where each document is."""
        paths = {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={self.hash(path)}"} for path in self.paths()}
        return Document(body=msgspec.json.encode({"paths": paths}))

    def hash(self, path: str) -> str:
        """Changes when the document does: it is made of the kinds and the table of types."""
        names = ",".join(r.id for r in self._resources if _root(r)[1:] == path)
        return hashlib.sha512(f"{table_digest()}:{names}".encode()).hexdigest().upper()

    def document(self, path: str) -> Document | None:
        """`/openapi/v3/PATH`; None when there is no such group version."""
        if path not in self._documents:
            members = [r for r in self._resources if _root(r)[1:] == path]
            if not members:
                return None
            self._documents[path] = Document(body=msgspec.json.encode(_document(members)))
        return self._documents[path]


def _root(resource: Resource) -> str:
    return f"/apis/{resource.group_version}" if resource.group else f"/api/{resource.version}"


def _document(resources: list[Resource]) -> JsonObject:
    schemas: dict[str, JsonObject] = {}
    paths: dict[str, JsonObject] = {}
    for resource in resources:
        _add_schema(_kind_of(resource), schemas, resource)
        _add_list(resource, schemas)
        _add_paths(resource, paths, schemas)
    _add_schema(struct("meta.v1.Status"), schemas)
    _add_schema(struct("meta.v1.DeleteOptions"), schemas)
    schemas[f"{_META}.Patch"] = {
        "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
        "type": "object",
    }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def schema_name(kind: Struct) -> str:
    """`io.k8s.api.core.v1.Pod` of `core.v1.Pod`."""
    return f"{_META}.{kind.short}" if kind.name.startswith("meta.") else f"io.k8s.api.{kind.name}"


def _reference(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}


def _gvk(resource: Resource, kind: str = "") -> JsonObject:
    return {"group": resource.group, "version": resource.version, "kind": kind or resource.kind}


def _kind_of(resource: Resource, sub: Subresource | None = None) -> Struct:
    """The type of the resource, or of the bodies of one of its subresources."""
    found = struct_for(resource.group_version, resource.kind)
    if sub is not None and sub.own_body:
        group = resource.group if sub.group is None else sub.group
        found = struct_for(f"{group}/{sub.version or resource.version}".removeprefix("/"), sub.kind)
    assert found is not None  # every served kind is in the table
    return found


def _add_schema(kind: Struct, schemas: dict[str, JsonObject], resource: Resource | None = None) -> str:
    name = schema_name(kind)
    if name in schemas:
        return name
    text = text_of(kind)
    schema: JsonObject = {"type": "object"}
    schemas[name] = schema
    if text.description:
        schema["description"] = text.description
    required = [field.name for field in kind.fields.values() if field.required]
    if required:
        schema["required"] = required
    schema["properties"] = {
        field.name: _property(field, text.fields.get(field.name, ""), schemas) for field in kind.fields.values()
    }
    if kind.atomic:
        schema["x-kubernetes-map-type"] = "atomic"
    if resource is not None:
        schema["x-kubernetes-group-version-kind"] = [_gvk(resource)]
    return name


def _property(field: Field, description: str, schemas: dict[str, JsonObject]) -> JsonObject:
    found: JsonObject = {"description": description} if description else {}
    if isinstance(field.type, Struct):
        # a reference stands alone: siblings of $ref are ignored
        found["allOf"] = [_type(field.type, schemas)]
        if not field.pointer:
            found["default"] = {}
    else:
        found |= _type(field.type, schemas)
    if field.schema_default is not None:
        found["default"] = field.schema_default
    if field.strategy:
        found["x-kubernetes-patch-strategy"] = ",".join(field.strategy)
    if field.key:
        found["x-kubernetes-patch-merge-key"] = field.key
    return found


def _type(kind: Type, schemas: dict[str, JsonObject]) -> JsonObject:
    match kind:
        case Scalar():
            return dict(_SCALARS[kind.name])
        case Struct():
            return _reference(_add_schema(kind, schemas))
        case MapOf():
            found: JsonObject = {"type": "object", "additionalProperties": _type(kind.item, schemas)}
            return found | ({"x-kubernetes-map-type": "atomic"} if kind.atomic else {})
        case ListOf():
            found = {"type": "array", "items": _type(kind.item, schemas), "x-kubernetes-list-type": kind.list_type}
            return found | ({"x-kubernetes-list-map-keys": list(kind.keys)} if kind.keys else {})


def _add_list(resource: Resource, schemas: dict[str, JsonObject]) -> None:
    if "list" not in resource.verbs:
        return
    meta = _add_schema(struct("meta.v1.ListMeta"), schemas)
    schemas[schema_name(_kind_of(resource)) + "List"] = {
        "description": f"{resource.kind}List is a list of {resource.plural}.",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "items": {"type": "array", "items": _reference(schema_name(_kind_of(resource)))},
            "kind": {"type": "string"},
            "metadata": {"allOf": [_reference(meta)], "default": {}},
        },
        "x-kubernetes-group-version-kind": [_gvk(resource, f"{resource.kind}List")],
    }


def _add_paths(resource: Resource, paths: dict[str, JsonObject], schemas: dict[str, JsonObject]) -> None:
    base = _root(resource) + ("/namespaces/{namespace}" if resource.namespaced else "") + f"/{resource.plural}"
    whole, single = _reference(schema_name(_kind_of(resource))), _parameters(resource, name=True)
    collection: JsonObject = {"parameters": _parameters(resource)}
    if "list" in resource.verbs:
        listed = _reference(schema_name(_kind_of(resource)) + "List")
        collection["get"] = _operation(resource, "list", None, listed)
    if "create" in resource.verbs:
        collection["post"] = _operation(resource, "post", whole, whole, "dryRun", "fieldManager", "fieldValidation")
    paths[base] = collection
    if "get" in resource.verbs:
        paths[base + "/{name}"] = {"parameters": single, **_object_operations(resource, resource.verbs, whole)}
    for sub in resource.subresources:
        reference = _reference(_add_schema(_kind_of(resource, sub), schemas)) if sub.own_body else whole
        paths[f"{base}/{{name}}/{sub.name}"] = {
            "parameters": single,
            **_object_operations(resource, sub.verbs, reference, sub),
        }


def _object_operations(
    resource: Resource, verbs: tuple[str, ...], reference: JsonObject, sub: Subresource | None = None
) -> JsonObject:
    found: JsonObject = {}
    if "get" in verbs:
        found["get"] = _operation(resource, "get", None, reference, sub=sub)
    if "create" in verbs and sub is not None:
        found["post"] = _operation(resource, "post", reference, reference, "dryRun", "fieldValidation", sub=sub)
    if "update" in verbs:
        query = ("dryRun", "fieldManager", "fieldValidation")
        found["put"] = _operation(resource, "put", reference, reference, *query, sub=sub)
    if "patch" in verbs:
        found["patch"] = _operation(resource, "patch", _reference(f"{_META}.Patch"), reference, *_QUERY, sub=sub)
    if "delete" in verbs:
        options = _reference(f"{_META}.DeleteOptions")
        found["delete"] = _operation(resource, "delete", options, _reference(f"{_META}.Status"), "dryRun", sub=sub)
    return found


def _operation(
    resource: Resource,
    action: str,
    body: JsonObject | None,
    answer: JsonObject,
    *query: str,
    sub: Subresource | None = None,
) -> JsonObject:
    media = _PATCH_TYPES if action == "patch" else (JSON, YAML, PROTOBUF)
    found: JsonObject = {
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _operation_gvk(resource, sub),
        "responses": {"200": {"description": "OK", "content": {JSON: {"schema": answer}}}},
    }
    if query:
        found["parameters"] = [
            {"name": name, "in": "query", "schema": {"type": _QUERY[name], "uniqueItems": True}} for name in query
        ]
    if body is not None:
        found["requestBody"] = {"content": {name: {"schema": body} for name in media}, "required": action != "delete"}
    return found


def _operation_gvk(resource: Resource, sub: Subresource | None) -> JsonObject:
    if sub is None or not sub.kind:
        return _gvk(resource)
    group = resource.group if sub.group is None else sub.group
    return {"group": group, "version": sub.version or resource.version, "kind": sub.kind}


def _parameters(resource: Resource, *, name: bool = False) -> list[Any]:
    names = (["name"] if name else []) + (["namespace"] if resource.namespaced else [])
    return [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]
