"""The addresses and ports that Services are given: the ranges, and what a Service of this or that IP family policy gets.

Source: docs/facts/embedded-api.md 11; the order of choices is upstream's (families asked for, then those of given addresses,
then the cluster's).
"""

import ipaddress
import secrets
from collections.abc import Collection, Iterable

from nodeagent.apiserver.contract import ServiceNetwork
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of
from runtimes.kube.field_errors import FieldError, invalid
from runtimes.kube.json_object import JsonObject

HEADLESS = "None"
_RESERVED = 10  # the first addresses of a range are for well-known Services
Range = ipaddress.IPv4Network | ipaddress.IPv6Network


def fill_families(spec: JsonObject, network: ServiceNetwork) -> None:
    """`ipFamilies` and `ipFamilyPolicy`, as far as the author does not say. They hang on the cluster: nobody's fields."""
    if spec["type"] == "ExternalName":
        return
    given = (
        [] if spec.get("clusterIP") == HEADLESS else spec.get("clusterIPs") or [*filter(None, [spec.get("clusterIP")])]
    )
    families = list(spec.get("ipFamilies") or [f"IPv{_version(address)}" for address in given if _version(address)])
    both = len(families) == 2 or len(given) == 2
    policy = spec.setdefault("ipFamilyPolicy", "RequireDualStack" if both else "SingleStack")
    families = families or [network.families[0]]
    if policy == "SingleStack":
        families = families[:1]
    elif len(families) == 1:
        families += [family for family in network.families if family not in families]
    spec["ipFamilies"] = families


def family_errors(spec: JsonObject, network: ServiceNetwork) -> list[FieldError]:
    """What the cluster cannot give."""
    if spec["type"] == "ExternalName":
        return []
    errors = [
        invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
        for index, family in enumerate(spec["ipFamilies"])
        if family not in network.families
    ]
    if spec["ipFamilyPolicy"] == "RequireDualStack" and len(network.families) < 2:
        why = "this cluster is not configured for dual-stack services"
        errors.append(invalid("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], why))
    return errors


def allocate(obj: JsonObject, others: list[JsonObject], network: ServiceNetwork) -> None:
    """Give the Service an address of each of its families, and its node ports. What the author asks for must be free.

    `others`: the specs of all other Services. Raises ApiError.
    """
    spec = obj["spec"]
    if spec["type"] == "ExternalName":
        return
    if errors := family_errors(spec, network):
        raise ApiError.invalid("Service", "", name_of(obj), errors)
    if spec.get("clusterIP") == HEADLESS:
        spec["clusterIPs"] = [HEADLESS]
        return
    wanted = list(spec.get("clusterIPs") or [*filter(None, [spec.get("clusterIP")])])
    taken = {address for other in others for address in other.get("clusterIPs") or [other.get("clusterIP")] if address}
    addresses = []
    for family in spec["ipFamilies"]:
        of_range = network.ranges[network.families.index(family)]
        asked = next((address for address in wanted if _version(address) == of_range.version), None)
        if asked is not None and (why := _refusal(asked, taken, of_range)):
            wrong = invalid("spec.clusterIPs", [asked], f"failed to allocate IP {asked}: {why}")
            raise ApiError.invalid("Service", "", name_of(obj), [wrong])
        addresses.append(asked or free_address(taken, of_range))
    spec["clusterIPs"], spec["clusterIP"] = addresses, addresses[0]
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _allocate_node_ports(obj, others, network.node_ports)


def free_address(taken: Collection[str], of_range: Range) -> str:
    """An unused address of the range. Raises ApiError."""
    first = int(of_range.network_address) + 1 + min(_RESERVED, of_range.num_addresses // 4)
    size = int(of_range.network_address) + of_range.num_addresses - 1 - first  # the last is a broadcast address
    start = secrets.randbelow(max(size, 1))
    for step in range(min(size, len(taken) + 1)):
        candidate = str(of_range[first - int(of_range.network_address) + (start + step) % size])
        if candidate not in taken:
            return candidate
    raise ApiError.internal("failed to allocate a serviceIP: range is full")


def free_node_port(taken: Collection[int | None], ports: Iterable[int]) -> int:
    """The lowest unused node port. Raises ApiError."""
    for port in ports:
        if port not in taken:
            return port
    raise ApiError.internal("failed to allocate a nodePort: range is full")


def _refusal(address: str, taken: Collection[str], of_range: Range) -> str:
    if address in taken:
        return "provided IP is already allocated"
    if ipaddress.ip_address(address) not in of_range:
        return f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {of_range}"
    return ""


def _allocate_node_ports(obj: JsonObject, others: list[JsonObject], ports: range) -> None:
    taken = {port.get("nodePort") for item in others for port in item.get("ports") or ()}
    for index, port in enumerate(obj["spec"].get("ports") or ()):
        wanted, why = port.get("nodePort"), ""
        if not wanted:
            port["nodePort"] = wanted = free_node_port(taken, ports)
        elif wanted not in ports:
            why = f"provided port is not in the valid range. The range of valid ports is {ports.start}-{ports.stop - 1}"
        elif wanted in taken:
            why = "provided port is already allocated"
        if why:
            raise ApiError.invalid("Service", "", name_of(obj), [invalid(f"spec.ports[{index}].nodePort", wanted, why)])
        taken.add(wanted)


def _version(address: str) -> int | None:
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return None
