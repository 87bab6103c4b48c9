"""Deleting an object: at once, after a grace period, or when its finalizers are gone."""

from datetime import datetime, timedelta

import msgspec

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects import metadata
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.engine import Engine, Outcome
from nodeagent.apiserver.objects.options import DeleteOptions
from nodeagent.apiserver.objects.update import pending_finalizers, remove
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.registry.table import parse_time
from nodeagent.apiserver.storage.stored import Stored
from runtimes.kube.json_object import JsonObject

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
DEFAULT_GRACE_SECONDS = 30
# kinds whose delete answers with the object even when it is gone at once
_RETURNED = frozenset({"pods", "namespaces"})


def delete(engine: Engine, resource: Resource, ctx: Context, options: DeleteOptions) -> Outcome:
    """DELETE. Raises `ApiError`: 404, 409 for a precondition, 403 for what may not be deleted."""
    current = engine.existing(resource, ctx)
    stored_as = engine.stored_as(resource)
    check_preconditions(stored_as, current, options)
    obj = current.decode()
    engine.restriction.check(ctx, "delete", None, None, obj)
    engine.hooks_for(stored_as.id).prepare_delete(obj, ctx)
    _propagate(obj, options)
    if stored_as.graceful:
        return _graceful(engine, stored_as, obj, ctx, options)
    if pending_finalizers(obj):
        return _held(engine, stored_as, obj, current, ctx)
    outcome = remove(engine, stored_as, obj, ctx)
    return outcome if stored_as.id in _RETURNED else _success(outcome, stored_as, obj)


def check_preconditions(resource: Resource, current: Stored, options: DeleteOptions) -> None:
    name, uid = current.key.name, current.index.uid
    if options.uid and options.uid != uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
    elif options.revision and options.revision != str(current.revision):
        why = (
            f"the ResourceVersion in the precondition ({options.revision}) does not match the ResourceVersion in record "
            f"({current.revision}). The object might have been modified"
        )
    else:
        return
    error = ApiError.conflict(resource.id, name, why)
    error.message = f'Operation cannot be fulfilled on {resource.kind} "{name}": {why}'
    raise error


def _propagate(obj: JsonObject, options: DeleteOptions) -> None:
    """Foreground and Orphan are finalizers that the garbage collector takes off when it has done its part."""
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(options.propagation or "")
    meta = obj["metadata"]
    finalizers = [f for f in meta.get("finalizers") or () if f not in (FOREGROUND, ORPHAN) or f == wanted]
    if wanted and wanted not in finalizers:
        finalizers.append(wanted)
    if options.propagation is not None and (finalizers or "finalizers" in meta):
        meta["finalizers"] = finalizers


def _held(engine: Engine, resource: Resource, obj: JsonObject, current: Stored, ctx: Context) -> Outcome:
    """Mark as being deleted; the update that takes the last finalizer off removes it."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = metadata.time_text(ctx.now)
        if resource.generation:
            meta["generation"] = int(meta.get("generation") or 0) + 1
    meta["deletionGracePeriodSeconds"] = 0
    if obj == current.decode():
        return Outcome(code=200, data=current.data, revision=current.revision)
    return engine.save(resource, ctx, obj)


def _graceful(engine: Engine, resource: Resource, obj: JsonObject, ctx: Context, options: DeleteOptions) -> Outcome:
    meta = obj["metadata"]
    grace = grace_seconds(obj, options.grace_period_seconds)
    running = meta.get("deletionGracePeriodSeconds") or 0
    if meta.get("deletionTimestamp"):
        if running and (options.grace_period_seconds is None or grace >= running):
            return _kept(engine, resource, obj, ctx)
        if running and grace:
            meta["deletionTimestamp"] = _shortened(meta["deletionTimestamp"], running, grace, ctx.now)
            meta["deletionGracePeriodSeconds"] = grace
            return engine.save(resource, ctx, obj)
    elif grace:
        meta["deletionTimestamp"] = metadata.time_text(ctx.now + timedelta(seconds=grace))
        meta["deletionGracePeriodSeconds"] = grace
        meta["generation"] = int(meta.get("generation") or 0) + 1
        return engine.save(resource, ctx, obj)
    current = engine.existing(resource, ctx)
    if pending_finalizers(obj):
        return _held(engine, resource, obj, current, ctx)
    if options.grace_period_seconds is None and not meta.get("deletionTimestamp") and not ctx.dry_run:
        # nobody asked for a force: its watchers see it going before it is gone
        obj = msgspec.json.decode(_held(engine, resource, obj, current, ctx).data)
    return remove(engine, resource, obj, ctx)


def _kept(engine: Engine, resource: Resource, obj: JsonObject, ctx: Context) -> Outcome:
    """A second delete that changes nothing, but for finalizers it may have brought."""
    current = engine.existing(resource, ctx)
    return (
        Outcome(code=200, data=current.data, revision=current.revision)
        if obj == current.decode()
        else engine.save(resource, ctx, obj)
    )


def grace_seconds(pod: JsonObject, asked: int | None) -> int:
    """How long the pod may take to end. Zero for one that no node has, or that has ended."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = asked if asked is not None else spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
    return 1 if grace < 0 else int(grace)


def _shortened(deadline: str, running: int, grace: int, now: datetime) -> str:
    """The new deadline, counted from the first request, never in the past."""
    end = parse_time(deadline) or now
    return metadata.time_text(max(end - timedelta(seconds=running - grace), now))


def _success(outcome: Outcome, resource: Resource, obj: JsonObject) -> Outcome:
    details = {"name": obj["metadata"]["name"], "kind": resource.plural, "uid": obj["metadata"].get("uid", "")}
    if resource.group:
        details["group"] = resource.group
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    outcome.data = msgspec.json.encode(status)
    outcome.is_status = True
    return outcome
