"""Endpoints and EndpointSlices of the services that select pods."""

from typing import Any, Final

from nodeagent.apiserver.contract import LocalApi, Object
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of, namespace_of, uid_of
from nodeagent.apiserver.kinds.controllers.follow import Change, Watch, follow, forever
from nodeagent.podspec.container_lists import containers

ENDPOINTS: Final = "endpoints"
SLICES: Final = "endpointslices.discovery.k8s.io"
SERVICE_LABEL: Final = "kubernetes.io/service-name"
MANAGED_LABEL: Final = "endpointslice.kubernetes.io/managed-by"
MANAGER: Final = "endpointslice-controller.k8s.io"
_FINISHED: Final = ("Succeeded", "Failed")
Key = tuple[str, str]


def endpoints_of(service: Object, pods: list[Object]) -> Object:
    """The Endpoints object of a service: ready and not ready addresses, grouped by the ports they serve."""
    groups: dict[str, Object] = {}
    for pod in sorted(pods, key=name_of):
        ports = _ports(service, pod)
        group = groups.setdefault(repr(ports), {"addresses": [], "notReadyAddresses": [], "ports": ports})
        ready = is_ready(pod) or bool(service["spec"].get("publishNotReadyAddresses"))
        group["addresses" if ready else "notReadyAddresses"].append(_address(pod))
    subsets = [{name: value for name, value in group.items() if value} for group in groups.values()]
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": name_of(service),
            "namespace": namespace_of(service),
            "labels": {
                **(service["metadata"].get("labels") or {}),
                "endpoints.kubernetes.io/managed-by": "endpoint-controller",
            },
        },
        "subsets": subsets,
    }


def slice_of(service: Object, pods: list[Object]) -> Object:
    """One IPv4 EndpointSlice of a service (numbered target ports; a named one is taken from the first pod)."""
    listed = sorted(pods, key=name_of)
    owner = {
        "apiVersion": "v1",
        "kind": "Service",
        "name": name_of(service),
        "uid": uid_of(service),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    ports = _ports(service, listed[0]) if listed else []
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name_of(service)}-ipv4",
            "namespace": namespace_of(service),
            "labels": {SERVICE_LABEL: name_of(service), MANAGED_LABEL: MANAGER},
            "ownerReferences": [owner],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(pod) for pod in listed],
        "ports": [{"name": port.get("name", ""), **port} for port in ports],
    }


def selected(service: Object, pods: list[Object]) -> list[Object]:
    """The pods behind a service: its labels, an address, not finished."""
    selector = service["spec"].get("selector") or {}
    return [
        pod
        for pod in pods
        if selector.items() <= (pod["metadata"].get("labels") or {}).items()
        and namespace_of(pod) == namespace_of(service)
        and (pod.get("status") or {}).get("podIP")
        and (pod.get("status") or {}).get("phase") not in _FINISHED
        and not pod["metadata"].get("deletionTimestamp")
    ]


def is_ready(pod: Object) -> bool:
    listed = (pod.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in listed)


class EndpointsController:
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._services: dict[Key, Object] = {}
        self._pods: dict[Key, Object] = {}
        self._written: dict[Key, Any] = {}
        self._unsynced: set[str] = set()

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        self._services, self._pods, self._written = {}, {}, {}
        self._unsynced = {"services", "pods"}
        async with follow(self._api, [Watch(resource="services"), Watch(resource="pods")]) as feed:
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
        known = self._services if change.resource == "services" else self._pods
        if change.type == "DELETED":
            known.pop(change.key, None)
        else:
            change.object["metadata"].pop("managedFields", None)  # half of a pod, and of no use for what it is kept for
            known[change.key] = change.object
        return {change.key[0]}

    async def _sync(self, namespaces: set[str]) -> None:
        for key in [key for key in self._written if key not in self._services]:
            del self._written[key]
            await self._delete(ENDPOINTS, *key)
            await self._delete(SLICES, key[0], f"{key[1]}-ipv4")
        for key, service in list(self._services.items()):
            if key[0] not in namespaces or not service["spec"].get("selector"):
                continue
            pods = selected(service, [pod for where, pod in self._pods.items() if where[0] == key[0]])
            wanted = (endpoints_of(service, pods), slice_of(service, pods))
            if self._written.get(key) != wanted:
                await self._write(ENDPOINTS, wanted[0])
                await self._write(SLICES, wanted[1])
                self._written[key] = wanted

    async def _write(self, resource: str, obj: Object) -> None:
        """Replace or create. A namespace that is going away takes nothing new: then there is nothing to do."""
        try:
            await self._api.update(resource, obj)
        except ApiError as error:
            if error.code == 404:
                await self._create(resource, obj)
            elif error.code != 403:
                raise

    async def _create(self, resource: str, obj: Object) -> None:
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


def _ports(service: Object, pod: Object) -> list[Object]:
    listed = []
    for port in service["spec"].get("ports") or ():
        number = _target(port, pod)
        if number:
            entry: Object = {"port": number, "protocol": port.get("protocol", "TCP")}
            if port.get("name"):
                entry = {"name": port["name"], **entry}
            listed.append(entry)
    return listed


def _target(port: Object, pod: Object) -> int | None:
    target = port.get("targetPort", port.get("port"))
    if isinstance(target, int):
        return target
    for _, container in containers(pod["spec"], "containers", "initContainers"):
        for own in container.get("ports") or ():
            if own.get("name") == target and own.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(own["containerPort"])
    return None


def _address(pod: Object) -> Object:
    address: Object = {"ip": pod["status"]["podIP"], "targetRef": _reference(pod)}
    if pod["spec"].get("nodeName"):
        address["nodeName"] = pod["spec"]["nodeName"]
    return address


def _endpoint(pod: Object) -> Object:
    ready = is_ready(pod)
    endpoint: Object = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": ready, "terminating": False},
        "targetRef": _reference(pod),
    }
    if pod["spec"].get("nodeName"):
        endpoint["nodeName"] = pod["spec"]["nodeName"]
    return endpoint


def _reference(pod: Object) -> Object:
    return {"kind": "Pod", "name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)}
