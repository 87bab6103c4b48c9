"""Patching an object: the patch is applied to the newest state, then it is an update like any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.create import create
from nodeagent.apiserver.objects.engine import Engine, Outcome
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.objects.patching import patched
from nodeagent.apiserver.objects.place import check_name, dedup_owners, settle_namespace
from nodeagent.apiserver.objects.update import replace
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
        _check_apply(change.content, ctx)
    if current is None:
        if change.type != "apply" or subresource is not None:
            raise ApiError.not_found(resource.id, ctx.name)
        return create(engine, resource, change.content, ctx, options)
    document = _document(resource, current)
    kind = "strategic" if change.type == "apply" else change.type
    new = patched(resource, document, kind, change.content, ctx, options)
    settle_namespace(new, ctx)
    check_name(new, ctx)
    dedup_owners(new, ctx, patched=True)
    if resource.view is not None:
        new = resource.view.store(new)
    return replace(engine, engine.stored_as(resource), new, current, ctx, subresource)


def _document(resource: Resource, current: Stored) -> Object:
    document = current.decode()
    return resource.view.show(document) if resource.view else document


def _check_apply(content: Any, ctx: Context) -> None:
    if not isinstance(content, dict):
        raise ApiError.bad_request("error decoding YAML: the applied configuration must be an object")
    meta = content.setdefault("metadata", {})
    if not isinstance(meta, dict):
        raise ApiError.bad_request("metadata must be an object")
    if meta.get("managedFields"):
        raise ApiError.bad_request("metadata.managedFields must be nil")
    meta.setdefault("name", ctx.name)
