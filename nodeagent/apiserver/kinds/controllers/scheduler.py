"""Bind pods to nodes.

One feed of pods, nodes and claims keeps a small picture of the cluster. Whenever it changes, every waiting pod is looked at,
the most important first. A pod that fits is entered in the picture at once and bound in a task of its own, so a burst of pods
does not wait for one commit after the other; one that does not fit says why in its status and in an event, once per reason.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from lightkube.models.core_v1 import PodSpec

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import FINISHED, name_of, uid_of
from nodeagent.apiserver.kinds.controllers.follow import Change, Feed, Watch, follow, forever
from nodeagent.apiserver.kinds.controllers.recorder import NORMAL, WARNING, event, record
from nodeagent.apiserver.kinds.controllers.reservations import reserve
from nodeagent.apiserver.kinds.pods import gates
from nodeagent.apiserver.kinds.pods.typed_spec import scheduling_spec
from nodeagent.apiserver.kinds.scheduling import claims, resource_claims
from nodeagent.apiserver.kinds.scheduling.devices import CannotAllocate
from nodeagent.apiserver.kinds.scheduling.fit import (
    Demand,
    NodeInfo,
    Refusal,
    Remedy,
    Usage,
    demand,
    explain,
    node_info,
    refusal,
    unresolvable,
)
from nodeagent.apiserver.kinds.scheduling.resource_claims import Allocations, DevicePicture
from nodeagent.apiserver.kinds.timestamps import rfc3339
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

NAME = "default-scheduler"
RETRY_SECONDS = 1.0
_CLAIMS = "persistentvolumeclaims"
_CLASSES = "storageclasses.storage.k8s.io"
_DEVICES = (resource_claims.CLAIMS, resource_claims.CLASSES, resource_claims.SLICES)
Key = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A pod without a node, its spec as the rules read it, what it takes, and the last reason that was told about it."""

    pod: JsonObject
    spec: PodSpec
    demand: Demand
    told: str = ""
    binding: bool = False

    @property
    def rank(self) -> tuple[int, str, Key]:
        metadata = self.pod["metadata"]
        priority = int(self.pod["spec"].get("priority") or 0)
        return -priority, metadata.get("creationTimestamp", ""), (metadata.get("namespace", ""), metadata["name"])


@dataclass(slots=True, kw_only=True)
class Picture:
    """The cluster as the scheduler knows it, its own unconfirmed bindings included."""

    nodes: dict[str, NodeInfo] = field(default_factory=dict)
    placed: dict[Key, tuple[str, Demand]] = field(default_factory=dict)
    waiting: dict[Key, Waiting] = field(default_factory=dict)
    claims: dict[Key, JsonObject] = field(default_factory=dict)
    classes: dict[str, JsonObject] = field(default_factory=dict)
    devices: DevicePicture = field(default_factory=DevicePicture)

    def usage(self, node: str) -> Usage:
        total = Usage()
        for where, taken in self.placed.values():
            if where == node:
                total.take(taken)
        return total


class Scheduler:
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._picture = Picture()
        self._unsynced: set[str] = set()
        self._retry = False

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        watches = [Watch(resource=name) for name in ("nodes", "pods", _CLAIMS, _CLASSES, *_DEVICES)]
        self._picture = Picture()
        self._unsynced = {watch.resource for watch in watches}
        async with asyncio.TaskGroup() as work, follow(self._api, watches) as feed:
            await self._loop(feed, work)

    async def _loop(self, feed: Feed, work: asyncio.TaskGroup) -> None:
        while True:
            changes = await feed.batch(RETRY_SECONDS if self._retry else None)
            self._retry = False
            relevant = False
            for change in changes:
                relevant = self._apply(change) or relevant
            if not self._unsynced and (relevant or not changes):
                self._schedule(work)

    def _apply(self, change: Change) -> bool:
        """Enter a change into the picture. Returns whether a waiting pod could be affected."""
        if change.type == "SYNCED":
            self._unsynced.discard(change.resource)
            return True
        if change.resource == "pods":
            return self._apply_pod(change)
        if change.resource == "nodes":
            return self._apply_node(change)
        if change.resource in _DEVICES:
            self._picture.devices.enter(
                change.resource, change.key, None if change.type == "DELETED" else change.object
            )
            return any(resource_claims.uses_claims(item.pod) for item in self._picture.waiting.values())
        known: dict[Any, JsonObject] = self._picture.claims if change.resource == _CLAIMS else self._picture.classes
        key = change.key if change.resource == _CLAIMS else change.key[1]
        if change.type == "DELETED":
            known.pop(key, None)
        else:
            known[key] = change.object
        return any(claims.names(item.pod) for item in self._picture.waiting.values())

    def _apply_node(self, change: Change) -> bool:
        name = name_of(change.object)
        if change.type == "DELETED":
            return self._picture.nodes.pop(name, None) is not None
        info = node_info(change.object)
        if self._picture.nodes.get(name) == info:
            return False
        self._picture.nodes[name] = info
        return True

    def _apply_pod(self, change: Change) -> bool:
        picture, pod, key = self._picture, change.object, change.key
        node = pod["spec"].get("nodeName")
        finished = (pod.get("status") or {}).get("phase") in FINISHED
        if change.type == "DELETED" or finished or (not node and pod["metadata"].get("deletionTimestamp")):
            picture.waiting.pop(key, None)
            return picture.placed.pop(key, None) is not None
        if node:
            picture.waiting.pop(key, None)
            taken = demand(scheduling_spec(pod["spec"]), pod.get("status"))
            changed = picture.placed.get(key) != (node, taken)
            picture.placed[key] = (node, taken)
            return changed
        if pod["spec"].get("schedulerName", NAME) != NAME:
            return False
        spec = scheduling_spec(pod["spec"])
        before = picture.waiting.get(key)
        if before is not None and uid_of(before.pod) == uid_of(pod):
            before.pod, before.spec, before.demand = pod, spec, demand(spec)
        else:
            picture.placed.pop(key, None)
            picture.waiting[key] = Waiting(pod=pod, spec=spec, demand=demand(spec))
        return True

    def _schedule(self, work: asyncio.TaskGroup) -> None:
        """Look at every waiting pod: plain code, so the picture cannot change meanwhile."""
        waiting = [item for item in self._picture.waiting.values() if not item.binding]
        if not waiting:
            return
        usage = {name: self._picture.usage(name) for name in self._picture.nodes}
        for item in sorted(waiting, key=lambda item: item.rank):
            if item.pod["spec"].get("schedulingGates"):
                self._tell(item, work, reason=gates.REASON, message=gates.MESSAGE)
                continue
            node, message, given = self._place(item, usage)
            if node is None:
                self._tell(item, work, reason="Unschedulable", message=message)
                continue
            delayed = self._delayed_claims(item.pod)
            if delayed:
                self._tell(item, work, reason="", message="")
                work.create_task(self._select_node(delayed, node))
                continue
            usage[node].take(item.demand)
            key = (item.pod["metadata"].get("namespace", ""), name_of(item.pod))
            self._picture.placed[key] = (node, item.demand)
            item.binding = True
            self._picture.devices.assumed |= given
            work.create_task(self._bind(item, key, node, given))

    def _place(self, item: Waiting, usage: dict[str, Usage]) -> tuple[str | None, str, Allocations]:
        """The node for a pod with what its claims are given there, or the message that says why there is none."""
        picture = self._picture
        problem = claims.problem(item.pod, picture.claims, picture.classes)
        if problem := problem or resource_claims.problem(item.pod, picture.devices):
            return None, unresolvable(len(picture.nodes), problem), {}
        refusals: list[Refusal] = []
        for name in sorted(self._picture.nodes, key=lambda name: (name != self._api.node_name, name)):
            info = self._picture.nodes[name]
            refused = refusal(item.spec, item.demand, info, usage[name])
            if refused is None:
                try:
                    return name, "", resource_claims.allocations(item.pod, picture.devices, name, info.labels)
                except CannotAllocate as error:
                    refused = Refusal(reasons=(str(error),), remedy=Remedy.NONE)
            refusals.append(refused)
        never = item.pod["spec"].get("preemptionPolicy") == "Never"
        return None, explain(refusals, never_preempts=never), {}

    def _delayed_claims(self, pod: JsonObject) -> list[JsonObject]:
        return claims.delayed(pod, self._picture.claims, self._picture.classes)

    async def _select_node(self, delayed: list[JsonObject], node: str) -> None:
        """Tell the provisioner where a claim that waits for its first consumer will be used."""
        for claim in delayed:
            if (claim["metadata"].get("annotations") or {}).get(claims.SELECTED_NODE) == node:
                continue
            patch = {"metadata": {"annotations": {claims.SELECTED_NODE: node}}}
            try:
                await self._api.patch(_CLAIMS, claim["metadata"]["namespace"], name_of(claim), patch)
            except ApiError as error:
                log.warning("claim %s: node not selected: %s", name_of(claim), error.message)

    async def _bind(self, item: Waiting, key: Key, node: str, given: Allocations) -> None:
        namespace, name = key
        try:
            await reserve(self._api, item.pod, given)
            await self._api.bind(namespace, name, node, uid=uid_of(item.pod))
        except ApiError as error:
            # Gone: the watch says so. Anything else is tried again, unless the watch shows that it is settled.
            if self._picture.placed.get(key) == (node, item.demand) and key in self._picture.waiting:
                del self._picture.placed[key]
            item.binding = False
            for claim in given:
                self._picture.devices.assumed.pop(claim, None)
            if error.code != 404:
                log.warning("binding %s/%s to %s failed: %s", namespace, name, node, error.message)
                self._retry = True
            return
        message = f"Successfully assigned {namespace}/{name} to {node}"
        await record(
            self._api,
            event(item.pod, kind="Pod", component=NAME, type_=NORMAL, reason="Scheduled", message=message),
        )

    def _tell(self, item: Waiting, work: asyncio.TaskGroup, *, reason: str, message: str) -> None:
        if item.told == message:
            return
        item.told = message
        if message and not _says(item.pod, reason, message):
            work.create_task(self._report(item.pod, reason, message))

    async def _report(self, pod: JsonObject, reason: str, message: str) -> None:
        metadata = pod["metadata"]
        condition: JsonObject = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
        before = _condition(pod)
        if before is None or before.get("status") != "False":
            condition["lastTransitionTime"] = rfc3339(time.time())
        patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [condition]}}
        try:
            await self._api.patch("pods", metadata["namespace"], metadata["name"], patch, subresource="status")
        except ApiError as error:
            log.debug("pod %s: condition not written: %s", metadata["name"], error.message)
            return
        if reason == "Unschedulable":
            await record(
                self._api,
                event(pod, kind="Pod", component=NAME, type_=WARNING, reason="FailedScheduling", message=message),
            )


def _condition(pod: JsonObject) -> JsonObject | None:
    listed = (pod.get("status") or {}).get("conditions") or ()
    return next((item for item in listed if item.get("type") == "PodScheduled"), None)


def _says(pod: JsonObject, reason: str, message: str) -> bool:
    """Whether the stored condition already carries this answer (told before the server was started again)."""
    condition = _condition(pod)
    return condition is not None and condition.get("reason") == reason and condition.get("message") == message
