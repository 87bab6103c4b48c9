"""Keeps the status of PodDisruptionBudgets: who counts the pods that evictions are granted by."""

import time
from collections.abc import Callable

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of
from nodeagent.apiserver.kinds.controllers.follow import Change, Watch, follow, forever
from nodeagent.apiserver.kinds.controllers.recorder import NORMAL, WARNING, event, record
from nodeagent.apiserver.kinds.disruption_budgets import RESOURCE, Count, count, covers
from runtimes.kube.json_object import JsonObject

PODS = "pods"
NAME = "controllermanager"
Key = tuple[str, str]


class DisruptionController:
    def __init__(self, api: LocalApi, now: Callable[[], float] = time.time) -> None:
        self._api = api
        self._now = now
        self._budgets: dict[Key, JsonObject] = {}
        self._pods: dict[Key, JsonObject] = {}
        self._unsynced: set[str] = set()
        self._told: dict[Key, set[str]] = {}  # messages about a budget and its pods, as long as they are so
        self._look_again: dict[Key, float] = {}

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        self._budgets, self._pods, self._look_again, self._unsynced = {}, {}, {}, {RESOURCE, PODS}
        async with follow(self._api, [Watch(resource=RESOURCE), Watch(resource=PODS)]) as feed:
            touched: set[str] = set()
            while True:
                for change in await feed.batch(self._pause()):
                    touched |= self._apply(change)
                if self._unsynced:
                    continue
                due = {key for key, at in self._look_again.items() if at <= self._now()}
                for key in [key for key in self._budgets if key[0] in touched or key in due]:
                    await self._sync(key)
                touched = set()

    def _pause(self) -> float | None:
        first = min(self._look_again.values(), default=None)
        return None if first is None else max(0.0, first - self._now())

    def _apply(self, change: Change) -> set[str]:
        """Enter a change; the namespaces whose budgets are to be counted."""
        if change.type == "SYNCED":
            self._unsynced.discard(change.resource)
            return set()
        known = self._budgets if change.resource == RESOURCE else self._pods
        known.pop(change.key, None)
        if change.type != "DELETED":
            change.object["metadata"].pop("managedFields", None)
            known[change.key] = change.object
        elif change.resource == RESOURCE:
            self._told.pop(change.key, None)
            self._look_again.pop(change.key, None)
        return {change.key[0]}

    async def _sync(self, key: Key) -> None:
        budget = self._budgets[key]
        pods = [pod for where, pod in self._pods.items() if where[0] == key[0] and covers(budget, pod)]
        found = count(budget, pods, self._now())
        self._look_again.pop(key, None)
        if found.look_again is not None:
            self._look_again[key] = found.look_again
        await self._tell(key, budget, pods, found)
        if found.status == budget.get("status"):
            return
        try:
            wanted = {**budget, "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "status": found.status}
            self._budgets[key] = await self._api.update(RESOURCE, wanted, subresource="status")
        except ApiError as error:
            if error.code not in (404, 409):  # its watch brings what has changed meanwhile, an eviction above all
                raise

    async def _tell(self, key: Key, budget: JsonObject, pods: list[JsonObject], found: Count) -> None:
        """Each thing once, as long as it is so."""
        told = [
            (pod, "Pod", "NotDeleted", f"Pod was expected by PDB {key[0]}/{key[1]} to be deleted but it wasn't")
            for pod in pods
            if name_of(pod) in found.overdue
        ]
        if not pods:
            told.append((budget, "PodDisruptionBudget", "NoPods", "No matching pods found"))
        if found.unmanaged:
            text = (
                "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status of the PDB"
                " cannot be calculated correctly, which may result in undefined behavior. To account for these pods please"
                ' set ".spec.minAvailable" field of the PDB to an integer value.'
            )
            told.append((budget, "PodDisruptionBudget", "UnmanagedPods", text))
        if found.error:
            text = f"Failed to calculate the number of expected pods: {found.error}"
            told.append((budget, "PodDisruptionBudget", "CalculateExpectedPodCountFailed", text))
        before, self._told[key] = self._told.get(key, set()), {f"{name_of(about)} {text}" for about, _, _, text in told}
        for about, kind, reason, text in told:
            if f"{name_of(about)} {text}" not in before:
                level = NORMAL if reason == "NoPods" else WARNING
                made = event(about, kind=kind, component=NAME, type_=level, reason=reason, message=text)
                await record(self._api, made)
