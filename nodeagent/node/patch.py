"""The strategic merge patch from one Node to another, as far as the agent owns the fields. Pure.

Source: docs/facts/node-resources.md 8.4, docs/facts/api-client-and-server.md D (Node addresses).
"""

import msgspec
from lightkube.models.core_v1 import Node, NodeStatus

from runtimes.kube.json_object import JsonObject

_MAPS = ("capacity", "allocatable", "nodeInfo", "daemonEndpoints", "features")
_WHOLE_LISTS = ("images", "runtimeHandlers", "declaredFeatures", "volumesInUse")
_HEARTBEAT = "lastHeartbeatTime"


def status_patch(before: Node, after: NodeStatus) -> JsonObject:
    """Return what makes the status of `before` the agent's `after`; empty when only heartbeat times differ.

    When anything differs, all heartbeats go with it. Conditions of others are never mentioned.
    """
    return _status_patch(before, after, force=False)


def heartbeat_patch(before: Node, after: NodeStatus) -> JsonObject:
    """The same, with the heartbeats even when nothing else changed."""
    return _status_patch(before, after, force=True)


def metadata_patch(before: Node, labels: dict[str, str], annotations: dict[str, str] | None = None) -> JsonObject:
    """Return what adds or corrects these labels and annotations; empty when they are there."""
    found: JsonObject = {}
    metadata = msgspec.to_builtins(before.metadata) if before.metadata else {}
    for field, wanted in (("labels", labels), ("annotations", annotations or {})):
        current = metadata.get(field) or {}
        if missing := {key: value for key, value in wanted.items() if current.get(key) != value}:
            found[field] = missing
    return found


def map_patch(before: JsonObject, after: JsonObject) -> JsonObject:
    """Return the keys to set, and None for those to remove; maps inside are patched, all else is replaced."""
    patch: JsonObject = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if old == value:
            continue
        patch[key] = map_patch(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return patch


def _status_patch(before: Node, after: NodeStatus, *, force: bool) -> JsonObject:
    old: JsonObject = msgspec.to_builtins(before.status) if before.status else {}
    new: JsonObject = msgspec.to_builtins(after)
    patch: JsonObject = {}
    for field in _MAPS:
        if changes := map_patch(old.get(field) or {}, new.get(field) or {}):
            patch[field] = changes
    for field in _WHOLE_LISTS:
        if (old.get(field) or None) != (new.get(field) or None):
            patch[field] = new.get(field) or None
    if old.get("addresses") != new.get("addresses"):
        # the merge key `type` is not unique: without the directive old addresses would pile up
        patch["addresses"] = [*(new.get("addresses") or ()), {"$patch": "replace"}]
    changed = _conditions(old, new)
    if changed and (force or patch or any(not _same(old, condition) for condition in changed)):
        patch["conditions"] = changed
        patch["$setElementOrder/conditions"] = [{"type": item["type"]} for item in new.get("conditions") or ()]
    return patch


def _conditions(old: JsonObject, new: JsonObject) -> list[JsonObject]:
    known = {item["type"]: item for item in old.get("conditions") or ()}
    return [item for item in new.get("conditions") or () if known.get(item["type"]) != item]


def _same(old: JsonObject, condition: JsonObject) -> bool:
    for item in old.get("conditions") or ():
        if item["type"] == condition["type"]:
            return bool({**item, _HEARTBEAT: None} == {**condition, _HEARTBEAT: None})
    return False
