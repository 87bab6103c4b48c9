"""What a Service says that is deprecated, or that has no effect beside the rest of it."""

import ipaddress

from nodeagent.apiserver.kinds import deprecated
from runtimes.kube.json_object import JsonObject

HEADLESS = "None"
EXTERNAL_NAME = "ExternalName"
_HINTS = "service.kubernetes.io/topology-aware-hints"
_MODE = "service.kubernetes.io/topology-mode"


def service_warnings(service: JsonObject) -> list[str]:
    """In the order in which a kube-apiserver gives them."""
    spec = service["spec"]
    headless = spec.get("type") == "ClusterIP" and spec.get("clusterIP") == HEADLESS
    external = spec.get("externalIPs") or []
    found: list[str] = []
    if _HINTS in (service["metadata"].get("annotations") or {}):
        found.append(f"annotation {_HINTS} is deprecated, please use {_MODE} instead")
    for index, address in enumerate(spec.get("clusterIPs") or ()):
        found += deprecated.ip_address(f"spec.clusterIPs[{index}]", address)
    if headless:
        found += _ignored_by_headless(spec)
    for index, address in enumerate(external):
        found += deprecated.ip_address(f"spec.externalIPs[{index}]", address)
    if external and not headless and spec.get("type") != EXTERNAL_NAME:
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if spec.get("loadBalancerIP"):
        found += deprecated.ip_address("spec.loadBalancerIP", spec["loadBalancerIP"])
    for index, block in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        found += _block(f"spec.loadBalancerSourceRanges[{index}]", block)
    if external and spec.get("type") == EXTERNAL_NAME:
        found.append(f'spec.externalIPs is ignored when spec.type is "{EXTERNAL_NAME}"')
    if spec.get("externalName") and spec.get("type") != EXTERNAL_NAME:
        found.append(f'spec.externalName is ignored when spec.type is not "{EXTERNAL_NAME}"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


def _ignored_by_headless(spec: JsonObject) -> list[str]:
    ignored = [name for name in ("loadBalancerIP", "externalIPs") if spec.get(name)]
    if spec.get("sessionAffinity") != "None":
        ignored.append("SessionAffinity")
    return [f"spec.{name} is ignored for headless services" for name in ignored]


def _block(path: str, text: str) -> list[str]:
    """A CIDR block with bits after its prefix, or in another than the canonical form."""
    address, _, prefix = text.strip().partition("/")
    try:
        interface = ipaddress.ip_interface(f"{address}/{prefix}")
    except ValueError:
        return []
    network = str(interface.network)
    if interface.ip != interface.network.network_address:
        single = f"{interface.ip}/{interface.max_prefixlen}"
        why = f'is ambiguous in this context (should be "{network}" or "{single}"?)'
        return [f'{path}: CIDR value "{text}" {why}']
    if network != text and interface.version == 6:
        return [f'{path}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")']
    return []
