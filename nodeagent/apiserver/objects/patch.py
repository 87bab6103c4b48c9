"""Patching an object: the patch is applied to the newest state, then it is an update like any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.apply import apply
from nodeagent.apiserver.objects.body import accept
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.engine import Engine, Outcome
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.objects.update import check_name, replace
from nodeagent.apiserver.patch import json_patch, merge_patch, strategic
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.stored import Key, Object, Stored

PatchType = Literal["json", "merge", "strategic", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """``content`` is the decoded body: a list of operations for ``json``, an object otherwise."""

    type: PatchType
    content: Any


def patch(
    engine: Engine,
    resource: Resource,
    change: Patch,
    ctx: Context,
    options: WriteOptions,
    subresource: str | None = None,
) -> Outcome:
    """PATCH. Raises ``ApiError``. A resourceVersion in the patch is a precondition."""
    current = engine.store.head(resource.storage, Key(ctx.namespace, ctx.name))
    if change.type == "apply":
        return apply(engine, resource, change.content, current, ctx, options, subresource)
    if current is None:
        raise ApiError.not_found(resource.id, ctx.name)
    document = _document(resource, current)
    new = accept(resource, _patched(resource, document, change), ctx, options.field_validation)
    check_name(new, ctx)
    if resource.view is not None:
        new = resource.view.store(new)
    return replace(
        engine, engine.stored_as(resource), new, current, ctx, engine.writer(resource, ctx, options, subresource)
    )


def _document(resource: Resource, current: Stored) -> Object:
    document = current.decode()
    return resource.view.show(document) if resource.view else document


def _patched(resource: Resource, document: Object, change: Patch) -> Object:
    content = change.content
    if change.type != "json" and not isinstance(content, dict):
        raise ApiError.bad_request("json: cannot unmarshal the patch into Go value of type map[string]interface {}")
    try:
        if change.type == "json":
            return _json_patched(document, content)
        if change.type == "merge":
            result: Object = merge_patch.apply(document, content)
            return result
        return strategic.apply(document, content, resource.model)
    except strategic.BadPatch as error:
        if error.missing_key:
            raise ApiError(500, "", str(error)) from error
        raise ApiError.bad_request(str(error)) from error
    except json_patch.PatchFailed as error:
        text = "the server rejected our request due to an error in our request"
        raise ApiError(422, "Invalid", text, details={"causes": [{"message": str(error)}]}) from error


def _json_patched(document: Object, operations: Any) -> Object:
    if not isinstance(operations, list):
        raise ApiError.bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > json_patch.MAX_OPERATIONS:
        raise ApiError(
            413,
            "RequestEntityTooLarge",
            f"The allowed maximum operations in a JSON patch is {json_patch.MAX_OPERATIONS}, got {len(operations)}",
        )
    result = json_patch.apply(document, operations)
    if not isinstance(result, dict):
        raise json_patch.PatchFailed("the document is no object any more")
    return result
