"""Keeps the Endpoints and EndpointSlices of the services that select pods."""

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of
from nodeagent.apiserver.kinds.controllers.follow import Change, Watch, follow, forever
from nodeagent.apiserver.kinds.endpoints import MANAGED_LABEL, MANAGER, SERVICE_LABEL, endpoints_of, selected, slices_of
from runtimes.kube.json_object import JsonObject

ENDPOINTS = "endpoints"
SLICES = "endpointslices.discovery.k8s.io"
Key = tuple[str, str]
_FOLLOWED = ("services", "pods", ENDPOINTS, SLICES)


class EndpointsController:
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._services: dict[Key, JsonObject] = {}
        self._pods: dict[Key, JsonObject] = {}
        self._written: dict[Key, dict[str, JsonObject]] = {}  # by service: endpoints and slices, by their names
        self._unsynced: set[str] = set()

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        self._services, self._pods, self._written = {}, {}, {}
        self._unsynced = set(_FOLLOWED)
        async with follow(self._api, [Watch(resource=resource) for resource in _FOLLOWED]) as feed:
            while True:
                touched: set[str] = set()
                for change in await feed.batch():
                    touched |= self._apply(change)
                if not self._unsynced:
                    await self._sync(touched)

    def _apply(self, change: Change) -> set[str]:
        """Enter a change; returns the namespaces whose services are to be looked at."""
        if change.type == "SYNCED":
            self._unsynced.discard(change.resource)
            return {namespace for namespace, _ in self._services} if not self._unsynced else set()
        if change.resource in (ENDPOINTS, SLICES):
            return self._lost(change) if change.type == "DELETED" else set()
        known = self._services if change.resource == "services" else self._pods
        if change.type == "DELETED":
            known.pop(change.key, None)
        else:
            change.object["metadata"].pop("managedFields", None)  # half of a pod, and of no use for what it is kept for
            known[change.key] = change.object
        return {change.key[0]}

    def _lost(self, change: Change) -> set[str]:
        """What somebody else has deleted of ours is written again."""
        namespace, name = change.key
        if change.resource == SLICES:
            service = (change.object["metadata"].get("labels") or {}).get(SERVICE_LABEL, "")
        else:
            service, name = name, ENDPOINTS
        lost = self._written.get((namespace, service), {}).pop(name, None)
        return {namespace} if lost is not None else set()

    async def _sync(self, namespaces: set[str]) -> None:
        for key in [key for key in self._written if not self._is_ours(key)]:
            written = self._written.pop(key)
            await self._delete(ENDPOINTS, *key)
            for name in written.keys() - {ENDPOINTS}:
                await self._delete(SLICES, key[0], name)
        for key, service in list(self._services.items()):
            if key[0] in namespaces and self._is_ours(key):
                pods = selected(service, [pod for where, pod in self._pods.items() if where[0] == key[0]])
                await self._keep(key, endpoints_of(service, pods), slices_of(service, pods))

    def _is_ours(self, key: Key) -> bool:
        """Whether there is a service that selects pods. Without a selector its author says what is behind it."""
        service = self._services.get(key)
        return bool(service and service["spec"].get("selector") and service["spec"].get("type") != "ExternalName")

    async def _keep(self, key: Key, endpoints: JsonObject, slices: list[JsonObject]) -> None:
        before = self._written.get(key)
        there = set(before or await self._left_behind(key))
        wanted = {ENDPOINTS: endpoints} | {name_of(item): item for item in slices}
        for name, obj in wanted.items():
            if before is None or before.get(name) != obj:
                await self._write(ENDPOINTS if name == ENDPOINTS else SLICES, obj)
        for name in there - wanted.keys():
            await self._delete(SLICES, key[0], name)
        self._written[key] = wanted

    async def _left_behind(self, key: Key) -> list[str]:
        """The slices that an earlier session of ours has made for the service."""
        selector = f"{SERVICE_LABEL}={key[1]},{MANAGED_LABEL}={MANAGER}"
        return [name_of(item) for item in await self._api.list(SLICES, key[0], label_selector=selector)]

    async def _write(self, resource: str, obj: JsonObject) -> None:
        """Replace or create. A namespace that is going away takes nothing new: then there is nothing to do."""
        try:
            await self._api.update(resource, obj)
        except ApiError as error:
            if error.code == 404:
                await self._create(resource, obj)
            elif error.code != 403:
                raise

    async def _create(self, resource: str, obj: JsonObject) -> None:
        try:
            await self._api.create(resource, obj)
        except ApiError as error:
            if error.code not in (403, 404):
                raise

    async def _delete(self, resource: str, namespace: str, name: str) -> None:
        try:
            await self._api.delete(resource, namespace, name)
        except ApiError as error:
            if error.code != 404:
                raise
