"""Server-side apply: what a manager wants of an object, made true, or a conflict with others who own it."""

from dataclasses import replace as replaced
from typing import Any

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.body import accept, repeated_lines
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.create import create_stored
from nodeagent.apiserver.objects.engine import Engine, Outcome
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.objects.place import check_name, dedup_owners, settle_namespace
from nodeagent.apiserver.objects.update import replace
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.stored import Stored
from runtimes.kube.json_object import JsonObject


def apply(
    engine: Engine,
    resource: Resource,
    config: Any,
    current: Stored | None,
    ctx: Context,
    options: WriteOptions,
    subresource: str | None,
) -> Outcome:
    """PATCH with an applied configuration; what is not there is created. Raises `ApiError`."""
    if not isinstance(config, dict):
        kind = "array" if isinstance(config, list) else "string" if isinstance(config, str) else "value"
        raise ApiError.bad_request(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: "
            f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )
    if current is None and subresource is not None:
        raise ApiError.not_found(resource.id, ctx.name)
    writer = engine.writer(resource, ctx, options, subresource)
    live, entries = _live(resource, current)
    applied = engine.ownership.apply(live, entries, config, writer, force=options.force)
    _tell_repeated(options, ctx)
    new = accept(resource, applied.object, ctx, replaced(options, duplicates=()))
    if current is None and (uid := new["metadata"].get("uid")):
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise ApiError.conflict(resource.id, ctx.name, why)
    settle_namespace(new, ctx)
    check_name(new, ctx)
    dedup_owners(new, ctx, patched=True)
    if resource.view is not None:
        new = resource.view.store(new)
    stored_as = engine.stored_as(resource)
    if current is None:
        new["metadata"].pop("resourceVersion", None)
        return create_stored(engine, stored_as, new, ctx, writer, applied.entries)
    return replace(engine, stored_as, new, current, ctx, writer, applied.entries)


def _tell_repeated(options: WriteOptions, ctx: Context) -> None:
    """Keys that came twice in the YAML are an error or a warning, as the client asked for. Raises `ApiError` 400."""
    if not options.duplicates or options.field_validation == "Ignore":
        return
    text = f"error converting YAML to JSON: {repeated_lines(options.duplicates)}"
    if options.field_validation == "Strict":
        raise ApiError.bad_request(f"error strict decoding YAML: {text}")
    ctx.warn(text)


def _live(resource: Resource, current: Stored | None) -> tuple[JsonObject | None, Any]:
    """The object in the form of `resource`, and the entries of its owners."""
    if current is None:
        return None, None
    stored = current.decode()
    entries = stored["metadata"].pop("managedFields", None)
    return (resource.view.show(stored) if resource.view else stored), entries
