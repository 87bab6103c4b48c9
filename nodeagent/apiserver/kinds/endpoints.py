"""What is behind a Service, as Endpoints and EndpointSlices: pure, from the Service and the pods of its namespace.

Source: docs/facts/embedded-api.md 11 and upstream's endpoint controllers: terminating pods are in slices only, never ready.
"""

import ipaddress
from collections.abc import Iterable

from nodeagent.apiserver.kinds.base import FINISHED, name_of, namespace_of, uid_of
from nodeagent.podspec.container_lists import containers
from runtimes.kube.json_object import JsonObject

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
MOST_ENDPOINTS = 100  # of a slice
_HEADLESS_LABEL = "service.kubernetes.io/headless"


def endpoints_of(service: JsonObject, pods: Iterable[JsonObject]) -> JsonObject:
    """The Endpoints object: ready and not ready addresses of the Service's first family, grouped by the ports they serve."""
    groups: dict[str, JsonObject] = {}
    family = _families(service)[0]
    for pod in sorted(pods, key=name_of):
        if is_terminating(pod) or not (address := _address(pod, family)):
            continue
        ports = _ports(service, pod)
        group = groups.setdefault(repr(ports), {"addresses": [], "notReadyAddresses": [], "ports": ports})
        ready = is_ready(pod) or bool(service["spec"].get("publishNotReadyAddresses"))
        group["addresses" if ready else "notReadyAddresses"].append(_endpoint_address(pod, address))
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


def slices_of(service: JsonObject, pods: Iterable[JsonObject]) -> list[JsonObject]:
    """The EndpointSlices: of each family, and of pods that serve the same port numbers, at most 100 endpoints in one.

    A family without pods has one slice without endpoints: who watches sees that nothing is there, not that nobody knows.
    """
    listed = sorted(pods, key=name_of)
    made = []
    for family in _families(service):
        groups: dict[str, tuple[list[JsonObject], list[JsonObject]]] = {}
        for pod in listed:
            if address := _address(pod, family):
                ports = _ports(service, pod)
                groups.setdefault(repr(ports), (ports, []))[1].append(_endpoint(service, pod, address))
        pieces = [
            (ports, endpoints[first : first + MOST_ENDPOINTS])
            for ports, endpoints in groups.values()
            for first in range(0, len(endpoints), MOST_ENDPOINTS)
        ]
        for number, (ports, endpoints) in enumerate(pieces or [([], [])]):
            suffix = f"-{number}" if number else ""
            made.append(_slice(service, f"{name_of(service)}-{family.lower()}{suffix}", family, ports, endpoints))
    return made


def selected(service: JsonObject, pods: Iterable[JsonObject]) -> list[JsonObject]:
    """The pods behind a service: its labels, an address, not finished."""
    selector = service["spec"].get("selector") or {}
    return [
        pod
        for pod in pods
        if selector.items() <= (pod["metadata"].get("labels") or {}).items()
        and namespace_of(pod) == namespace_of(service)
        and (pod.get("status") or {}).get("podIP")
        and (pod.get("status") or {}).get("phase") not in FINISHED
    ]


def is_ready(pod: JsonObject) -> bool:
    listed = (pod.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in listed)


def is_terminating(pod: JsonObject) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _families(service: JsonObject) -> list[str]:
    return service["spec"].get("ipFamilies") or ["IPv4"]


def _slice(
    service: JsonObject, name: str, family: str, ports: list[JsonObject], endpoints: list[JsonObject]
) -> JsonObject:
    owner = {
        "apiVersion": "v1",
        "kind": "Service",
        "name": name_of(service),
        "uid": uid_of(service),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {**(service["metadata"].get("labels") or {}), SERVICE_LABEL: name_of(service), MANAGED_LABEL: MANAGER}
    if service["spec"].get("clusterIP") == "None":
        labels[_HEADLESS_LABEL] = ""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": namespace_of(service),
            "labels": labels,
            "ownerReferences": [owner],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": [{"name": port.get("name", ""), **port} for port in ports],
    }


def _ports(service: JsonObject, pod: JsonObject) -> list[JsonObject]:
    listed = []
    for port in service["spec"].get("ports") or ():
        number = _target(port, pod)
        if number:
            entry: JsonObject = {"port": number, "protocol": port.get("protocol", "TCP")}
            if port.get("name"):
                entry = {"name": port["name"], **entry}
            if port.get("appProtocol"):
                entry["appProtocol"] = port["appProtocol"]
            listed.append(entry)
    return listed


def _target(port: JsonObject, pod: JsonObject) -> int | None:
    target = port.get("targetPort", port.get("port"))
    if isinstance(target, int):
        return target
    for _, container in containers(pod["spec"], "containers", "initContainers"):
        for own in container.get("ports") or ():
            if own.get("name") == target and own.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(own["containerPort"])
    return None


def _address(pod: JsonObject, family: str) -> str:
    """The pod's address of the family; empty: it has none."""
    status = pod["status"]
    listed = [item.get("ip") for item in status.get("podIPs") or ()] or [status.get("podIP")]
    return next((str(address) for address in listed if address and _family_of(address) == family), "")


def _family_of(address: str) -> str:
    try:
        return f"IPv{ipaddress.ip_address(address).version}"
    except ValueError:
        return ""


def _endpoint_address(pod: JsonObject, address: str) -> JsonObject:
    made: JsonObject = {"ip": address, "targetRef": _reference(pod)}
    if pod["spec"].get("nodeName"):
        made["nodeName"] = pod["spec"]["nodeName"]
    return made


def _endpoint(service: JsonObject, pod: JsonObject, address: str) -> JsonObject:
    ready, terminating = is_ready(pod), is_terminating(pod)
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: JsonObject = {
        "addresses": [address],
        "conditions": {"ready": published or (ready and not terminating), "serving": ready, "terminating": terminating},
        "targetRef": _reference(pod),
    }
    if pod["spec"].get("nodeName"):
        endpoint["nodeName"] = pod["spec"]["nodeName"]
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == name_of(service):
        endpoint["hostname"] = pod["spec"]["hostname"]
    return endpoint


def _reference(pod: JsonObject) -> JsonObject:
    return {"kind": "Pod", "name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)}
