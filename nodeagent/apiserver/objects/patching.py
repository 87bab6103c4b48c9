"""Carrying out a patch on the stored object, and every way in which it can be wrong.

A patch that is no patch is 400; one that does not apply to this object, or makes something of it that is no object of its kind,
is 422; a strategic patch that the kind's lists cannot be merged by is 500, as clients know it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.body import Undecodable, accept, wrong_kind
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.patch import json_patch, strategic
from nodeagent.apiserver.patch.go_format import go_format
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apitypes.scalars import number_as_written
from nodeagent.apitypes.schema import struct_for
from runtimes.kube import merge_patch
from runtimes.kube.field_errors import invalid
from runtimes.kube.json_object import JsonObject

_GENERIC = "the server rejected our request due to an error in our request"
_MAP = "Go value of type map[string]interface {}"
_OPERATION = ("op", "path", "from", "value")
_TEXTS = ("op", "path", "from")
_JSON_NAMES = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}


def patched(
    resource: Resource, document: JsonObject, kind: str, content: Any, ctx: Context, options: WriteOptions
) -> JsonObject:
    """`document` with the patch carried out, accepted as an object of `resource`. `kind`: json, merge, strategic.

    Raises `ApiError`.
    """
    noticed = _noticed(kind, content, options) if options.field_validation != "Ignore" else []
    result = _applied(resource, document, kind, content)
    shown = (
        go_format(content) if kind == "strategic" else msgspec.json.encode(result, enc_hook=number_as_written).decode()
    )
    if kind == "strategic":
        # a typed object has its kind from its type: what the patch says of it is not looked at
        result = {**result, "kind": resource.kind, "apiVersion": resource.group_version}
    elif wrong := wrong_kind(result, resource.kind, resource.group_version):
        raise _refused(shown, wrong)
    if noticed and options.field_validation == "Strict":
        raise _refused(shown, f"strict decoding error: {', '.join(noticed)}")
    ctx.warn_all(noticed)
    try:
        return accept(resource, result, ctx, replace(options, duplicates=()))
    except Undecodable as error:
        raise _refused(shown, error.restoring if kind == "strategic" else error.why) from error


def _refused(shown: str, why: str) -> ApiError:
    return ApiError.invalid("", "", "", [invalid("patch", shown, why)])


def _applied(resource: Resource, document: JsonObject, kind: str, content: Any) -> JsonObject:
    try:
        if kind == "json":
            return _json_patched(document, content)
        if kind == "merge":
            result: JsonObject = merge_patch.apply(document, _merge_content(content))
            return result
        return strategic.apply(document, _strategic_content(content), struct_for(resource.group_version, resource.kind))
    except strategic.BadPatch as error:
        raise _bad_strategic(error) from error
    except json_patch.PatchFailed as error:
        raise ApiError(422, "Invalid", _GENERIC, details={"causes": [{"message": str(error)}]}) from error


def _bad_strategic(error: strategic.BadPatch) -> ApiError:
    match error.fault:
        case "format":
            return ApiError.bad_request(str(error))
        case "content":
            return ApiError(422, "Invalid", _GENERIC, details={"causes": [{"message": str(error)}]})
    return ApiError(500, "", str(error))


def _merge_content(content: Any) -> JsonObject:
    if content is None:
        raise ApiError.bad_request("Invalid JSON Patch")
    if not isinstance(content, dict):
        raise ApiError.bad_request(f"error decoding patch: json: cannot unmarshal {_name(content)} into {_MAP}")
    return content


def _strategic_content(content: Any) -> JsonObject:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ApiError.bad_request(f"json: cannot unmarshal {_name(content)} into {_MAP}")
    return content


def _json_patched(document: JsonObject, operations: Any) -> JsonObject:
    _check_operations(operations)
    if len(operations or ()) > json_patch.MAX_OPERATIONS:
        why = f"The allowed maximum operations in a JSON patch is {json_patch.MAX_OPERATIONS}, got {len(operations)}"
        raise ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {why}")
    result = json_patch.apply(document, operations or [])
    if not isinstance(result, dict):
        raise json_patch.PatchFailed("the document is no object any more")
    return result


def _check_operations(operations: Any) -> None:
    """Types only: whether an operation exists and applies is found out by carrying it out."""
    if operations is not None and not isinstance(operations, list):
        raise _undecoded(operations, "Go value of type []handlers.jsonPatchOp")
    for operation in operations or ():
        if operation is not None and not isinstance(operation, dict):
            raise _undecoded(operation, "Go value of type handlers.jsonPatchOp")
        for name in _TEXTS:
            value = (operation or {}).get(name)
            if value is not None and not isinstance(value, str):
                raise _undecoded(value, f"Go struct field jsonPatchOp.{name} of type string")


def _undecoded(value: Any, target: str) -> ApiError:
    return ApiError.bad_request(f"error decoding patch: json: cannot unmarshal {_name(value)} into {target}")


def _name(value: Any) -> str:
    return _JSON_NAMES.get(type(value), "value")


def _noticed(kind: str, content: Any, options: WriteOptions) -> list[str]:
    """What the patch says twice, and what the operations of a JSON patch say that means nothing."""
    prefix = "json patch " if kind == "json" else ""
    duplicates = [f'{prefix}duplicate field "{path}"' for path in options.duplicates]
    if kind != "json" or not isinstance(content, Sequence):
        return duplicates
    return duplicates + [
        f'json patch unknown field "[{index}].{name}"'
        for index, operation in enumerate(content)
        if isinstance(operation, dict)
        for name in operation
        if name not in _OPERATION
    ]
