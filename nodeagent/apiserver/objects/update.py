"""Replacing an object, or the part of it that a subresource stands for."""

from typing import Any

import msgspec

from nodeagent.apiserver.apply.managers import invalid_entries, same_but_times
from nodeagent.apiserver.apply.ownership import Entries, Writer
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects import metadata
from nodeagent.apiserver.objects.body import accept
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.create import create_stored
from nodeagent.apiserver.objects.engine import Engine, Outcome, refuse
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.objects.place import check_name, dedup_owners, settle_namespace
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.stored import Key, Stored
from runtimes.kube.field_errors import invalid
from runtimes.kube.json_object import JsonObject

STALE = "the object has been modified; please apply your changes to the latest version and try again"


def update(
    engine: Engine, resource: Resource, body: Any, ctx: Context, options: WriteOptions, subresource: str | None = None
) -> Outcome:
    """PUT. Raises `ApiError`; 409 when `body` states a resourceVersion that is not current."""
    new = accept(resource, body, ctx, options)
    settle_namespace(new, ctx)
    check_name(new, ctx)
    dedup_owners(new, ctx)
    if resource.view is not None:
        new = resource.view.store(new)
    stored_as = engine.stored_as(resource)
    current = engine.store.head(resource.storage, Key(ctx.namespace, ctx.name))
    metadata.check_uid_precondition(new, current, stored_as)
    if current is None:
        if not resource.create_on_update or subresource is not None:
            raise ApiError.not_found(resource.id, ctx.name)
        new["metadata"].pop("resourceVersion", None)
        return create_stored(engine, stored_as, new, ctx, engine.writer(resource, ctx, options))
    return replace(engine, stored_as, new, current, ctx, engine.writer(resource, ctx, options, subresource))


def replace(
    engine: Engine,
    resource: Resource,
    new: JsonObject,
    current: Stored,
    ctx: Context,
    writer: Writer,
    entries: Entries | None = None,
) -> Outcome:
    """Store `new` (accepted, stored form) over `current`. `entries`: who owns it, where that is known already."""
    subresource = writer.subresource or None
    expected = new["metadata"].get("resourceVersion")
    if expected in (None, "", "0") and not resource.unconditional_update:
        wrong = [invalid("metadata.resourceVersion", 0, "must be specified for an update")]
        raise ApiError.invalid(resource.plural, resource.group, ctx.name, wrong)
    if expected and expected != "0" and expected != str(current.revision):
        raise ApiError.conflict(resource.id, ctx.name, STALE)
    # kept apart until the end: who owns what is no part of what is compared, defaulted and validated
    old, owned = engine.opened_apart(resource, current)
    stated = new["metadata"].pop("managedFields", None)
    metadata.check_uid(new, old, resource)
    metadata.restore(new, old, silent=subresource is not None)
    new = _allowed(resource, new, old, subresource)
    hooks = engine.hooks_for(resource.id)
    if entries is None:
        if subresource is None:
            hooks.defaults(new)
        entries = engine.ownership.updated(old, new, owned, stated, writer)
    hooks.prepare_update(new, old, ctx, subresource)
    engine.restriction.check(ctx, "update", subresource, new, old)
    errors = hooks.validate_update(new, old, subresource)
    if new["metadata"] != old["metadata"]:
        errors = metadata.validate_update(new, old, resource) + errors
    if stated and stated != owned:
        errors = invalid_entries(entries) + errors
    refuse(resource, ctx.name, errors)
    ctx.warn_all(hooks.warnings(new, old, subresource))
    return _settle(engine, resource, new, entries, current, ctx, subresource)


def _settle(
    engine: Engine,
    resource: Resource,
    new: JsonObject,
    entries: Entries,
    current: Stored,
    ctx: Context,
    subresource: str | None,
) -> Outcome:
    if is_finished(new):
        metadata.set_owners(new, entries)
        return remove(engine, resource, new, ctx)
    # rules may have left values that say nothing: only what is written can be compared
    written, before = engine.written(resource, new), current.decode()
    owned = before["metadata"].pop("managedFields", None)
    if written == before and same_but_times(owned, entries):
        return Outcome(code=200, data=current.data, revision=current.revision)
    counts = resource.generation and subresource != "status" and written.get("spec") != before.get("spec")
    if counts and written.get("spec") != engine.written(resource, before).get("spec"):
        written["metadata"]["generation"] = int(before["metadata"].get("generation") or 0) + 1
    metadata.set_owners(written, entries)
    return engine.put(resource, ctx, written)


def remove(engine: Engine, resource: Resource, obj: JsonObject, ctx: Context) -> Outcome:
    """Take the object that `ctx` names out of the store; `obj` is what the client is answered."""
    data = msgspec.json.encode(engine.written(resource, obj))
    if ctx.dry_run:
        return Outcome(code=200, data=data)
    write = engine.store.remove(resource.storage, Key(ctx.namespace, ctx.name))
    return Outcome(code=200, data=data, write=write)


def pending_finalizers(obj: JsonObject) -> bool:
    """Whether somebody has still to agree to the removal. Namespaces have a second list of them in their spec."""
    if obj["metadata"].get("finalizers"):
        return True
    return obj["kind"] == "Namespace" and bool((obj.get("spec") or {}).get("finalizers"))


def is_finished(obj: JsonObject) -> bool:
    """Whether an object is being deleted and nothing holds it any more."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("deletionGracePeriodSeconds"):
        return False
    return not pending_finalizers(obj)


def _allowed(resource: Resource, new: JsonObject, old: JsonObject, subresource: str | None) -> JsonObject:
    """`new` with everything put back that a request to this subresource does not touch."""
    match subresource:
        case None:
            if resource.has_status:
                _take(new, old, "status")
            return new
        case "status":
            return {**old, "metadata": _described(new, old), **_part(new, "status")}
        case "approval":
            conditions = (new.get("status") or {}).get("conditions")
            status = {**(old.get("status") or {}), "conditions": conditions or []}
            return {**old, "metadata": _described(new, old), "status": status}
        case "binding":
            return new
        case "finalize":
            part = {"spec": {**(old.get("spec") or {}), "finalizers": _finalizers(new)}}
            return {**old, "metadata": dict(old["metadata"]), **part}
    return {**old, "metadata": dict(old["metadata"]), **_part(new, "spec")}


def _finalizers(namespace: JsonObject) -> Any:
    return (namespace.get("spec") or {}).get("finalizers") or []


def _described(new: JsonObject, old: JsonObject) -> JsonObject:
    """Metadata of a status write: labels, annotations and finalizers are the client's, the owners are not."""
    meta = dict(new["metadata"])
    _take(meta, old["metadata"], "ownerReferences")
    return meta


def _part(obj: JsonObject, name: str) -> JsonObject:
    return {name: obj[name]} if name in obj else {name: {}}


def _take(target: JsonObject, source: JsonObject, name: str) -> None:
    if name in source:
        target[name] = source[name]
    else:
        target.pop(name, None)
