"""Service (addresses and ports from their ranges), Endpoints and EndpointSlice."""

import ipaddress
import secrets
from collections.abc import Iterable

from typing_extensions import override

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import deprecated
from nodeagent.apiserver.kinds.base import Kind, immutable, name_of, uid_of
from nodeagent.apiserver.kinds.services import service_warnings
from nodeagent.podspec.validation.ports import PROTOCOLS
from nodeagent.podspec.validation.rules import port_or_name, problems, unique
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from runtimes.kube.json_object import JsonObject

SERVICE_RANGE = ipaddress.IPv4Network("10.96.0.0/12")
NODE_PORTS = range(30000, 32768)
HEADLESS = "None"
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_AFFINITIES = ("ClientIP", "None")
_STICKY_SECONDS = 10800


class ServiceKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("type"):
            spec["type"] = "ClusterIP"
        if not spec.get("sessionAffinity"):
            spec["sessionAffinity"] = "None"
        if spec["sessionAffinity"] == "ClientIP":
            config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
            config.setdefault("timeoutSeconds", _STICKY_SECONDS)
        for port in spec.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"
            if port.get("targetPort") in (None, "", 0) and "port" in port:
                port["targetPort"] = port["port"]
        if spec["type"] in ("NodePort", "LoadBalancer"):
            spec.setdefault("externalTrafficPolicy", "Cluster")
        if spec["type"] == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
        if spec["type"] != "ExternalName":
            spec.setdefault("internalTrafficPolicy", "Cluster")

    def _families(self, spec: JsonObject) -> None:
        """Allocated like the address, so nobody's; not the author's like the defaults."""
        if spec["type"] != "ExternalName":
            spec.setdefault("ipFamilies", ["IPv4"])
            spec.setdefault("ipFamilyPolicy", "SingleStack")

    @override
    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        self._families(obj["spec"])
        self._allocate(obj, ctx)
        obj["status"] = {"loadBalancer": {}}

    @override
    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: AdmissionContext, subresource: str | None) -> None:
        super().prepare_update(new, old, ctx, subresource)
        if subresource is None:
            self._families(new["spec"])
            stored = old.get("spec") or {}
            if not new["spec"].get("clusterIP") and new["spec"]["type"] != "ExternalName":
                for name in ("clusterIP", "clusterIPs"):
                    if name in stored:
                        new["spec"][name] = stored[name]
            self._keep_node_ports(new["spec"], stored)
            self._allocate(new, ctx)

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        spec = obj["spec"]
        name = name_of(obj)
        errors = problems("metadata.name", name, names.dns1035_label(name))
        if spec["type"] not in _TYPES:
            errors.append(not_supported("spec.type", spec["type"], _TYPES))
        if spec["sessionAffinity"] not in _AFFINITIES:
            errors.append(not_supported("spec.sessionAffinity", spec["sessionAffinity"], _AFFINITIES))
        if spec["type"] == "ExternalName":
            target = spec.get("externalName") or ""
            errors += problems("spec.externalName", target, names.dns1123_subdomain(target.removesuffix(".")))
        elif not spec.get("ports") and spec.get("clusterIP") != HEADLESS:
            errors.append(required("spec.ports"))
        address = spec.get("clusterIP")
        if address and address != HEADLESS:
            errors += problems("spec.clusterIPs[0]", address, names.ip_address(address))
        return errors + self._ports(spec)

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        before, now = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
        if before and "ExternalName" not in (new["spec"]["type"], old["spec"].get("type")):
            return immutable("spec.clusterIPs[0]", now, before)
        return []

    @override
    def advise(self, obj: JsonObject) -> list[str]:
        return service_warnings(obj)

    def _ports(self, spec: JsonObject) -> list[FieldError]:
        errors: list[FieldError] = []
        ports = spec.get("ports") or []
        seen_names: set[str] = set()
        seen_ports: set[tuple[object, object]] = set()
        for index, port in enumerate(ports):
            where = f"spec.ports[{index}]"
            name = port.get("name") or ""
            if not name and len(ports) > 1:
                errors.append(required(f"{where}.name"))
            elif name:
                errors += problems(f"{where}.name", name, names.dns1123_label(name))
                errors += unique(f"{where}.name", name, seen_names)
            number = port.get("port") or 0
            errors += problems(f"{where}.port", number, names.port_number(number))
            if port["protocol"] not in PROTOCOLS:
                errors.append(not_supported(f"{where}.protocol", port["protocol"], PROTOCOLS))
            errors += port_or_name(f"{where}.targetPort", port.get("targetPort"))
            if (port["protocol"], number) in seen_ports:
                errors.append(duplicate(where, {"port": number, "protocol": port["protocol"]}))
            seen_ports.add((port["protocol"], number))
            if port.get("nodePort") and spec["type"] not in ("NodePort", "LoadBalancer"):
                errors.append(forbidden(f"{where}.nodePort", "may not be used when `type` is 'ClusterIP'"))
        return errors

    def _keep_node_ports(self, spec: JsonObject, stored: JsonObject) -> None:
        known = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in stored.get("ports") or ()}
        for port in spec.get("ports") or ():
            if spec["type"] in ("NodePort", "LoadBalancer") and not port.get("nodePort"):
                kept = known.get((port.get("protocol"), port.get("port")))
                if kept:
                    port["nodePort"] = kept

    def _allocate(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        """Give the service an address of its own, and its node ports. What the author asked for must be free."""
        spec = obj["spec"]
        others = [item.get("spec") or {} for item in ctx.list("services") if uid_of(item) != uid_of(obj)]
        if spec["type"] == "ExternalName":
            return
        if spec.get("clusterIP") in (None, ""):
            spec["clusterIP"] = free_address(item.get("clusterIP") or "" for item in others)
        elif spec["clusterIP"] != HEADLESS and any(item.get("clusterIP") == spec["clusterIP"] for item in others):
            wrong = invalid(
                "spec.clusterIPs", [spec["clusterIP"]], "failed to allocate IP: provided IP is already allocated"
            )
            raise ApiError.invalid("Service", "", name_of(obj), [wrong])
        spec["clusterIPs"] = [spec["clusterIP"]]
        if spec["type"] in ("NodePort", "LoadBalancer"):
            self._node_ports(obj, others)

    def _node_ports(self, obj: JsonObject, others: list[JsonObject]) -> None:
        taken = {port.get("nodePort") for item in others for port in item.get("ports") or ()}
        for index, port in enumerate(obj["spec"].get("ports") or ()):
            wanted = port.get("nodePort")
            where = f"spec.ports[{index}].nodePort"
            if not wanted:
                port["nodePort"] = wanted = free_node_port(taken)
            elif wanted not in NODE_PORTS:
                text = "provided port is not in the valid range. The range of valid ports is 30000-32767"
                raise ApiError.invalid("Service", "", name_of(obj), [invalid(where, wanted, text)])
            elif wanted in taken:
                wrong = invalid(where, wanted, "provided port is already allocated")
                raise ApiError.invalid("Service", "", name_of(obj), [wrong])
            taken.add(wanted)


class EndpointsKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                if not port.get("protocol"):
                    port["protocol"] = "TCP"

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        errors: list[FieldError] = []
        for index, subset in enumerate(obj.get("subsets") or ()):
            where = f"subsets[{index}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                errors.append(required(where, "must specify `addresses` or `notReadyAddresses`"))
            for field in ("addresses", "notReadyAddresses"):
                for position, address in enumerate(subset.get(field) or ()):
                    text = address.get("ip") or ""
                    errors += problems(f"{where}.{field}[{position}].ip", text, names.ip_address(text))
        return errors

    @override
    def advise(self, obj: JsonObject) -> list[str]:
        if _labels(obj).get("endpoints.kubernetes.io/managed-by") == "endpoint-controller":
            return []
        return [
            warning
            for index, subset in enumerate(obj.get("subsets") or ())
            for field in ("addresses", "notReadyAddresses")
            for position, address in enumerate(subset.get(field) or ())
            for warning in deprecated.ip_address(f"subsets[{index}].{field}[{position}].ip", address.get("ip") or "")
        ]


class EndpointSliceKind(Kind):
    @override
    def default(self, obj: JsonObject) -> None:
        for port in obj.get("ports") or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")

    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        kind = obj.get("addressType") or ""
        if not kind:
            return [required("addressType")]
        if kind not in _ADDRESS_TYPES:
            return [not_supported("addressType", kind, _ADDRESS_TYPES)]
        errors: list[FieldError] = []
        for index, endpoint in enumerate(obj.get("endpoints") or ()):
            where = f"endpoints[{index}].addresses"
            if not endpoint.get("addresses"):
                errors.append(required(where, "must contain at least 1 address"))
            for position, address in enumerate(endpoint.get("addresses") or ()):
                if kind != "FQDN":
                    errors += problems(f"{where}[{position}]", address, names.ip_address(address))
        return errors

    @override
    def changes(self, new: JsonObject, old: JsonObject) -> list[FieldError]:
        return immutable("addressType", new.get("addressType"), old.get("addressType"))

    @override
    def advise(self, obj: JsonObject) -> list[str]:
        if _labels(obj).get("endpointslice.kubernetes.io/managed-by") == "endpointslice-controller.k8s.io":
            return []
        return [
            warning
            for index, endpoint in enumerate(obj.get("endpoints") or ())
            for position, address in enumerate(endpoint.get("addresses") or ())
            for warning in deprecated.ip_address(f"endpoints[{index}].addresses[{position}]", address)
        ]


def _labels(obj: JsonObject) -> JsonObject:
    return obj["metadata"].get("labels") or {}


def free_address(taken: Iterable[str]) -> str:
    """An unused address of the service range; the first few are left for well-known services. Raises ApiError."""
    used = set(taken)
    first = int(SERVICE_RANGE.network_address) + 11
    size = SERVICE_RANGE.num_addresses - 12
    start = secrets.randbelow(size)
    for step in range(min(size, len(used) + 1)):
        candidate = str(ipaddress.IPv4Address(first + (start + step) % size))
        if candidate not in used:
            return candidate
    raise ApiError.internal("failed to allocate a serviceIP: range is full")


def free_node_port(taken: set[int | None]) -> int:
    """The lowest unused node port. Raises ApiError."""
    for port in NODE_PORTS:
        if port not in taken:
            return port
    raise ApiError.internal("failed to allocate a nodePort: range is full")
