"""Creating an object."""

from typing import Any

from nodeagent.apiserver.apply.managers import invalid_entries
from nodeagent.apiserver.apply.ownership import Entries, Writer
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects import metadata
from nodeagent.apiserver.objects.body import accept
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.engine import Engine, Outcome, refuse
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.objects.place import dedup_owners, settle_namespace
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.stored import Key
from runtimes.kube.field_errors import FieldError
from runtimes.kube.json_object import JsonObject

NAME_ATTEMPTS = 8


def create(engine: Engine, resource: Resource, body: Any, ctx: Context, options: WriteOptions) -> Outcome:
    """Store a new object made of `body`. `ctx.name` becomes its name. Raises `ApiError`."""
    obj = accept(resource, body, ctx, options)
    settle_namespace(obj, ctx)
    dedup_owners(obj, ctx)
    if resource.view is not None:
        obj = resource.view.store(obj)
    return create_stored(engine, engine.stored_as(resource), obj, ctx, engine.writer(resource, ctx, options))


def create_stored(
    engine: Engine, resource: Resource, obj: JsonObject, ctx: Context, writer: Writer, entries: Entries | None = None
) -> Outcome:
    """As `create` for an accepted object in its stored form. `entries`: who owns it, where that is known already."""
    stated = obj["metadata"].pop("managedFields", None)
    generated = not obj["metadata"].get("name")
    metadata.fill(obj, resource, ctx.namespace, ctx.now)
    if resource.has_status and not resource.status_on_create:
        obj.pop("status", None)
    if generated and obj["metadata"].get("name"):
        _free_name(engine, resource, obj["metadata"], ctx)
    ctx.name = obj["metadata"].get("name", "")
    hooks = engine.hooks_for(resource.id)
    if entries is None:
        hooks.defaults(obj)
        entries = engine.ownership.created(obj, stated, writer)
    hooks.prepare_create(obj, ctx)
    engine.restriction.check(ctx, "create", None, obj, None)
    errors = metadata.validate(obj, resource) + (invalid_entries(entries) if stated else [])
    refuse(resource, ctx.name, _once(errors + hooks.validate_create(obj)))
    ctx.warn_all(hooks.warnings(obj, None, None))
    if engine.store.head(resource.storage, Key(ctx.namespace, ctx.name)) is not None:
        raise ApiError.already_exists(resource.id, ctx.name)
    written = engine.written(resource, obj)
    metadata.set_owners(written, entries)
    return engine.put(resource, ctx, written, code=201)


def _once(errors: list[FieldError]) -> list[FieldError]:
    """Without repetitions: a kind may check again what holds for all kinds."""
    found: dict[tuple[object, ...], FieldError] = {}
    for error in errors:
        found.setdefault((error.type, error.field, error.body), error)
    return list(found.values())


def _free_name(engine: Engine, resource: Resource, meta: JsonObject, ctx: Context) -> None:
    """Another suffix for a generated name that is taken; after some attempts the create fails as any other would."""
    for _ in range(NAME_ATTEMPTS - 1):
        if engine.store.head(resource.storage, Key(ctx.namespace, meta["name"])) is None:
            return
        meta["name"] = metadata.generated_name(meta["generateName"])
