"""What can be done to a pod besides writing it: binding it to a node, evicting it."""

from typing import Any

import msgspec

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects import disruption
from nodeagent.apiserver.objects.body import accept
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.delete import check_preconditions, delete
from nodeagent.apiserver.objects.engine import Engine, Outcome, refuse
from nodeagent.apiserver.objects.metadata import time_text
from nodeagent.apiserver.objects.options import DeleteOptions, WriteOptions, delete_options
from nodeagent.apiserver.objects.place import settle_namespace
from nodeagent.apiserver.registry.builtin import PODS
from runtimes.kube.json_object import JsonObject

SUCCESS = msgspec.json.encode({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
_BINDING = "pods/binding"
_EVICTION = "policy/v1"
_OLD_EVICTION = "policy/v1beta1"  # what kubectl before 1.22 sends; the two are the same


def bind(engine: Engine, body: Any, ctx: Context, options: WriteOptions) -> Outcome:
    """POST pods/NAME/binding. Raises `ApiError` 409 when the pod has a node or is going away."""
    binding = accept(PODS, body, ctx, options, kind="Binding", group_version="v1")
    settle_namespace(binding, ctx)
    if binding["metadata"].get("name") != ctx.name:
        raise ApiError.bad_request("name in URL does not match name in Binding object")
    target = binding.get("target") or {}
    if target.get("kind") not in (None, "", "Node") or not target.get("name"):
        raise ApiError.bad_request("a binding needs a target of kind Node with a name")
    current = engine.existing(PODS, ctx)
    wanted = DeleteOptions(
        uid=binding["metadata"].get("uid") or "", revision=binding["metadata"].get("resourceVersion") or ""
    )
    check_preconditions(PODS, current, wanted)
    old, new = engine.opened(PODS, current), engine.opened(PODS, current)
    if old["metadata"].get("deletionTimestamp"):
        raise _conflict(ctx.name, f"pod {ctx.name} is being deleted, cannot be assigned to a host")
    if old["spec"].get("nodeName"):
        raise _conflict(ctx.name, f'pod {ctx.name} is already assigned to node "{old["spec"]["nodeName"]}"')
    if old["spec"].get("schedulingGates"):
        raise _conflict(ctx.name, f"pod {ctx.name} has non-empty .spec.schedulingGates")
    new["spec"]["nodeName"] = target["name"]
    for field in ("labels", "annotations"):
        if added := binding["metadata"].get(field):
            new["metadata"][field] = {**(new["metadata"].get(field) or {}), **added}
    _set_condition(new, {"type": "PodScheduled", "status": "True"}, ctx)
    hooks = engine.hooks_for(PODS.id)
    hooks.prepare_update(new, old, ctx, "binding")
    refuse(PODS, ctx.name, hooks.validate_update(new, old, "binding"))
    return _succeeded(engine.save(PODS, ctx, new))


def _conflict(name: str, why: str) -> ApiError:
    return ApiError.conflict(_BINDING, name, why)


def evict(engine: Engine, body: Any, ctx: Context, options: WriteOptions) -> Outcome:
    """POST pods/NAME/eviction: mark why, then delete. Raises `ApiError` as `disruption.grant`, 404, 409."""
    if isinstance(body, dict) and body.get("apiVersion") == _OLD_EVICTION:
        body = {**body, "apiVersion": _EVICTION}
    eviction = accept(
        PODS,
        body,
        ctx,
        options,
        kind="Eviction",
        group_version=_EVICTION,
    )
    settle_namespace(eviction, ctx)
    if eviction["metadata"].get("name") != ctx.name:
        raise ApiError.bad_request("name in URL does not match name in Eviction object")
    asked = delete_options({}, eviction.get("deleteOptions") or {})
    ctx.dry_run = ctx.dry_run or asked.dry_run
    current = engine.existing(PODS, ctx)
    check_preconditions(PODS, current, asked)
    pod = engine.opened(PODS, current)
    phase = (pod.get("status") or {}).get("phase")
    if phase not in ("Succeeded", "Failed", "Pending") and not pod["metadata"].get("deletionTimestamp"):
        disruption.grant(engine, pod, ctx)
        _set_condition(
            pod,
            {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
            },
            ctx,
        )
        engine.save(PODS, ctx, pod)
    without_revision = DeleteOptions(
        dry_run=ctx.dry_run,
        grace_period_seconds=asked.grace_period_seconds,
        propagation=asked.propagation,
        uid=asked.uid,
    )
    return _succeeded(delete(engine, PODS, ctx, without_revision))


def _succeeded(outcome: Outcome) -> Outcome:
    return Outcome(code=201, data=SUCCESS, write=outcome.write, is_status=True)


def _set_condition(pod: JsonObject, condition: JsonObject, ctx: Context) -> None:
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    stamped = {**condition, "lastTransitionTime": time_text(ctx.now)}
    for index, existing in enumerate(conditions):
        if existing.get("type") == condition["type"]:
            if existing.get("status") == condition["status"]:
                stamped["lastTransitionTime"] = existing.get("lastTransitionTime") or stamped["lastTransitionTime"]
            conditions[index] = stamped
            return
    conditions.append(stamped)
