"""Service (addresses and ports from their ranges), Endpoints and EndpointSlice."""

import ipaddress

from typing_extensions import override

from nodeagent.apiserver.contract import AdmissionContext
from nodeagent.apiserver.kinds import deprecated
from nodeagent.apiserver.kinds.base import Kind, immutable, name_of, uid_of
from nodeagent.apiserver.kinds.service_network import HEADLESS, allocate, fill_families
from nodeagent.apiserver.kinds.services import service_warnings
from nodeagent.podspec.validation.ports import PROTOCOLS
from nodeagent.podspec.validation.rules import port_or_name, problems, unique
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from runtimes.kube.json_object import JsonObject

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_AFFINITIES = ("ClientIP", "None")
_STICKY_SECONDS = 10800
_LONGEST_STICKY_SECONDS = 86_400
_POLICIES = ("Cluster", "Local")


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

    @override
    def admit(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        self._allocate(obj, ctx)
        obj["status"] = {"loadBalancer": {}}

    @override
    def prepare_update(self, new: JsonObject, old: JsonObject, ctx: AdmissionContext, subresource: str | None) -> None:
        super().prepare_update(new, old, ctx, subresource)
        if subresource is None:
            stored = old.get("spec") or {}
            self._keep_addresses(new["spec"], stored)
            self._keep_node_ports(new["spec"], stored)
            self._allocate(new, ctx)

    def _allocate(self, obj: JsonObject, ctx: AdmissionContext) -> None:
        """Like the address, families are nobody's; not the author's like the defaults."""
        fill_families(obj["spec"], ctx.service_network)
        others = [item.get("spec") or {} for item in ctx.list("services") if uid_of(item) != uid_of(obj)]
        allocate(obj, others, ctx.service_network)

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
        for index, address in enumerate(spec.get("externalIPs") or ()):
            errors += _may_be_reached(f"spec.externalIPs[{index}]", address)
        return errors + _ways(spec) + self._ports(spec)

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

    def _keep_addresses(self, spec: JsonObject, stored: JsonObject) -> None:
        """What an update does not mention stays; a policy of one family keeps the first address, one of two gets another."""
        if spec["type"] == "ExternalName":
            return
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if name in stored and not spec.get(name):
                spec[name] = stored[name]
        if spec.get("ipFamilyPolicy") == "SingleStack" and stored.get("ipFamilyPolicy") != "SingleStack":
            for name in ("clusterIPs", "ipFamilies"):
                spec[name] = spec[name][:1] if spec.get(name) else []

    def _keep_node_ports(self, spec: JsonObject, stored: JsonObject) -> None:
        known = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in stored.get("ports") or ()}
        for port in spec.get("ports") or ():
            if spec["type"] in ("NodePort", "LoadBalancer") and not port.get("nodePort"):
                kept = known.get((port.get("protocol"), port.get("port")))
                if kept:
                    port["nodePort"] = kept


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
                    errors += _may_be_reached(f"{where}.{field}[{position}].ip", text)
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
                    errors += _may_be_reached(f"{where}[{position}]", address)
            if hostname := endpoint.get("hostname"):
                errors += problems(f"endpoints[{index}].hostname", hostname, names.dns1123_label(hostname))
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


def _ways(spec: JsonObject) -> list[FieldError]:
    """What decides which endpoint a connection goes to."""
    errors = [
        not_supported(f"spec.{field}", policy, _POLICIES)
        for field in ("internalTrafficPolicy", "externalTrafficPolicy")
        if (policy := spec.get(field)) and policy not in _POLICIES
    ]
    seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    if spec["sessionAffinity"] == "ClientIP" and seconds is not None and not 0 < seconds <= _LONGEST_STICKY_SECONDS:
        why = f"must be greater than 0 and less than {_LONGEST_STICKY_SECONDS}"
        errors.append(invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, why))
    return errors


def _may_be_reached(path: str, text: str) -> list[FieldError]:
    """An address that a proxy may lead to: not the node's own loopback, nor what is no single machine's."""
    if errors := problems(path, text, names.ip_address(text)):
        return errors
    address = ipaddress.ip_address(text)
    if address.is_unspecified:
        return [invalid(path, text, f"may not be unspecified ({text})")]
    if address.is_loopback:
        return [invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")]
    if address.is_link_local:
        return [invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")]
    if any(address.version == one.version and address in one for one in _LINK_LOCAL_MULTICAST):
        return [invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")]
    return []


_LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def _labels(obj: JsonObject) -> JsonObject:
    return obj["metadata"].get("labels") or {}
