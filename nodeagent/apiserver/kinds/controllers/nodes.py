"""Nodes: taints that mirror their conditions, and conditions that become Unknown when nothing is heard of them."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of, uid_of
from nodeagent.apiserver.kinds.controllers.follow import Change, Feed, Watch, follow, forever
from nodeagent.apiserver.kinds.controllers.recorder import NORMAL, event, record
from nodeagent.apiserver.kinds.timestamps import rfc3339
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

GRACE_SECONDS = 40.0
LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
SILENT = "NodeStatusUnknown"
SILENT_TEXT = "Kubelet stopped posting node status."
COMPONENT = "node-controller"
_WATCHED_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_PRESSURE_TAINTS = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
CORDONED = "node.kubernetes.io/unschedulable"
_OURS = frozenset({NOT_READY, UNREACHABLE, CORDONED, *_PRESSURE_TAINTS.values()})


def wanted_taints(node: JsonObject) -> list[JsonObject]:
    """The node's taints with the NoSchedule ones of its conditions brought up to date; others keep their place."""
    conditions = {item.get("type"): item.get("status") for item in (node.get("status") or {}).get("conditions") or ()}
    spec = node.get("spec") or {}
    keys = [key for kind, key in _PRESSURE_TAINTS.items() if conditions.get(kind) == "True"]
    ready = conditions.get("Ready")
    if ready == "Unknown":
        keys.append(UNREACHABLE)
    elif ready != "True":
        keys.append(NOT_READY)
    if spec.get("unschedulable"):
        keys.append(CORDONED)
    current = spec.get("taints") or []
    kept = [taint for taint in current if not _is_ours(taint) or taint.get("key") in keys]
    there = {taint.get("key") for taint in kept if _is_ours(taint)}
    return kept + [{"key": key, "effect": "NoSchedule"} for key in keys if key not in there]


def silent_conditions(node: JsonObject, now: str) -> list[JsonObject]:
    """The conditions to write when nothing was heard of a node; empty when they say so already."""
    stored = {item.get("type"): item for item in (node.get("status") or {}).get("conditions") or ()}
    if (stored.get("Ready") or {}).get("status") == "Unknown":
        return []
    changed = []
    for kind in _WATCHED_CONDITIONS:
        before = stored.get(kind) or {}
        condition: JsonObject = {"type": kind, "status": "Unknown", "reason": SILENT, "message": SILENT_TEXT}
        condition["lastTransitionTime"] = now
        condition["lastHeartbeatTime"] = before.get("lastHeartbeatTime") or node["metadata"].get(
            "creationTimestamp", now
        )
        changed.append(condition)
    return changed


@dataclass(slots=True, kw_only=True)
class Sign:
    """The last sign of life of a node: what it said, and when this process saw it (monotonic seconds)."""

    content: Any
    seen: float


class NodeController:
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._nodes: dict[str, JsonObject] = {}
        self._signs: dict[tuple[str, str], Sign] = {}

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        self._nodes, self._signs = {}, {}
        watches = [Watch(resource="nodes"), Watch(resource=LEASES, namespace=LEASE_NAMESPACE)]
        async with follow(self._api, watches) as feed:
            await self._loop(feed)

    async def _loop(self, feed: Feed) -> None:
        while True:
            for change in await feed.batch(self._next_deadline()):
                if change.type != "SYNCED":
                    await self._apply(change)
            await self._mark_silent()

    async def _apply(self, change: Change) -> None:
        name = name_of(change.object)
        if change.resource == LEASES:
            if change.type != "DELETED":
                self._saw("lease", name, (change.object.get("spec") or {}).get("renewTime"))
            return
        if change.type == "DELETED":
            self._nodes.pop(name, None)
            self._signs.pop(("node", name), None)
            self._signs.pop(("lease", name), None)
            return
        before = self._nodes.get(name)
        self._nodes[name] = change.object
        self._saw("node", name, _heartbeats(change.object))
        await self._taint(change.object)
        if before is not None and _ready(before) != _ready(change.object):
            await self._announce(change.object)

    def _saw(self, kind: str, name: str, content: Any) -> None:
        """Times are ours: what counts is when the content last changed, not what a clock elsewhere says."""
        sign = self._signs.get((kind, name))
        if sign is None or sign.content != content:
            self._signs[(kind, name)] = Sign(content=content, seen=_now())

    def _silence_ends(self, name: str) -> float:
        signs = [self._signs[key].seen for key in (("node", name), ("lease", name)) if key in self._signs]
        return max(signs, default=_now()) + GRACE_SECONDS

    def _next_deadline(self) -> float | None:
        """Seconds until some node would count as silent; None when there is nobody to wait for."""
        heard = [name for name, node in self._nodes.items() if _ready(node) != "Unknown"]
        return min((max(0.0, self._silence_ends(name) - _now()) for name in heard), default=None)

    async def _mark_silent(self) -> None:
        for name, node in list(self._nodes.items()):
            if self._silence_ends(name) > _now():
                continue
            conditions = silent_conditions(node, rfc3339(time.time()))
            if conditions:
                log.warning("node %s: no lease and no status for %.0f s", name, GRACE_SECONDS)
                await self._patch(name, {"status": {"conditions": conditions}}, "status")
                # Until the watch brings the new state, do not say it again.
                self._signs[("node", name)] = Sign(content=_heartbeats(node), seen=_now())

    async def _taint(self, node: JsonObject) -> None:
        taints = wanted_taints(node)
        if taints != ((node.get("spec") or {}).get("taints") or []):
            version = node["metadata"].get("resourceVersion")
            patch = {"metadata": {"resourceVersion": version}, "spec": {"taints": taints or None}}
            await self._patch(name_of(node), patch, None)

    async def _patch(self, name: str, patch: JsonObject, subresource: str | None) -> None:
        try:
            await self._api.patch("nodes", "", name, patch, subresource=subresource)
        except ApiError as error:
            # A newer state is on its way through the watch and will be looked at again.
            if error.code not in (404, 409):
                raise

    async def _announce(self, node: JsonObject) -> None:
        reason = "NodeReady" if _ready(node) == "True" else "NodeNotReady"
        about = {"metadata": {"name": name_of(node), "uid": uid_of(node)}}
        message = f"Node {name_of(node)} status is now: {reason}"
        if reason == "NodeNotReady":
            written = event(about, kind="Node", component=COMPONENT, type_=NORMAL, reason=reason, message=message)
            await record(self._api, written)


def _is_ours(taint: JsonObject) -> bool:
    return taint.get("key") in _OURS and taint.get("effect") == "NoSchedule"


def _ready(node: JsonObject) -> str:
    listed = (node.get("status") or {}).get("conditions") or ()
    return next((str(item.get("status")) for item in listed if item.get("type") == "Ready"), "")


def _heartbeats(node: JsonObject) -> list[Any]:
    listed = (node.get("status") or {}).get("conditions") or ()
    return [item.get("lastHeartbeatTime") for item in listed]


def _now() -> float:
    return asyncio.get_running_loop().time()
