"""Patching an object: the patch is applied to the newest state, then it is an update like any other."""

from dataclasses import dataclass
from typing import Any, Literal

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.apply import apply
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.engine import Engine, Outcome
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.objects.patching import patched
from nodeagent.apiserver.objects.place import check_name, dedup_owners, settle_namespace
from nodeagent.apiserver.objects.update import replace
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.stored import Key, Stored
from runtimes.kube.json_object import JsonObject

PatchType = Literal["json", "merge", "strategic", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """`content` is the decoded body: a list of operations for `json`, an object otherwise."""

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
    """PATCH. Raises `ApiError`. A resourceVersion in the patch is a precondition."""
    current = engine.store.head(resource.storage, Key(ctx.namespace, ctx.name))
    if change.type == "apply":
        return apply(engine, resource, change.content, current, ctx, options, subresource)
    if current is None:
        raise ApiError.not_found(resource.id, ctx.name)
    document = _document(resource, current)
    aside = None if _of_owners(change) else document["metadata"].pop("managedFields", None)
    new = patched(resource, document, change.type, change.content, ctx, options)
    if aside is not None:
        new["metadata"]["managedFields"] = aside
    settle_namespace(new, ctx)
    check_name(new, ctx)
    dedup_owners(new, ctx, patched=True)
    if resource.view is not None:
        new = resource.view.store(new)
    return replace(
        engine, engine.stored_as(resource), new, current, ctx, engine.writer(resource, ctx, options, subresource)
    )


def _of_owners(change: Patch) -> bool:
    """Whether a patch may say something of `managedFields`; most do not, and need not carry them along."""
    if change.type == "json" or not isinstance(change.content, dict):
        return True
    metadata = change.content.get("metadata")
    return isinstance(metadata, dict) and "managedFields" in metadata


def _document(resource: Resource, current: Stored) -> JsonObject:
    document = current.decode()
    return resource.view.show(document) if resource.view else document
