"""Which endpoints of a Service take connections, for a policy: upstream's rules for ready and terminating endpoints."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from typing import TypeGuard

from lightkube.models.discovery_v1 import Endpoint as SliceEndpoint
from lightkube.models.discovery_v1 import EndpointSlice

_LAST_PORT = 65_535


class Policy(StrEnum):
    """`internalTrafficPolicy`, `externalTrafficPolicy`."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address and port that takes connections. `is_local`: on this node."""

    address: str
    port: int
    is_local: bool


@dataclass(frozen=True, slots=True)
class Behind:
    """What is behind one port of a Service in one family. Empty and `elsewhere`: there are endpoints, but not on this node."""

    endpoints: tuple[Endpoint, ...]
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class _Candidate:
    endpoint: Endpoint
    is_ready: bool
    is_serving_to_the_end: bool  # terminating, and still serving


def behind(
    slices: Iterable[EndpointSlice], port_name: str, protocol: str, version: int, policy: Policy, node_name: str
) -> Behind:
    """The endpoints for a port of the Service: those that are ready; if none is, those that terminate and still serve."""
    found = list(_candidates(slices, port_name, protocol, version, node_name))
    usable = _usable(found)
    if policy is Policy.CLUSTER:
        return Behind(usable)
    here = _usable([item for item in found if item.endpoint.is_local])
    return Behind(here, elsewhere=bool(usable) and not here)


def _usable(candidates: list[_Candidate]) -> tuple[Endpoint, ...]:
    ready = {item.endpoint for item in candidates if item.is_ready}
    return tuple(sorted(ready or {item.endpoint for item in candidates if item.is_serving_to_the_end}))


def _candidates(
    slices: Iterable[EndpointSlice], port_name: str, protocol: str, version: int, node_name: str
) -> Iterable[_Candidate]:
    for one in slices:
        if one.addressType != f"IPv{version}":
            continue
        numbers = [
            port.port
            for port in one.ports or ()
            if (port.name or "") == port_name and (port.protocol or "TCP") == protocol and is_port(port.port)
        ]
        for endpoint in one.endpoints or ():
            if endpoint.addresses and may_be_reached(endpoint.addresses[0], version):
                yield from (_candidate(endpoint, number, node_name) for number in numbers)


def is_port(number: int | None) -> TypeGuard[int]:
    """Whether packets can have it: who writes an object may write any number."""
    return number is not None and 0 < number <= _LAST_PORT


def may_be_reached(address: str, version: int) -> bool:
    """Whether an address may be led to, or from. Loopback and link-local ones are no way into the node for who writes objects."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if found.version != version:
        return False
    if isinstance(found, IPv6Address) and (found.ipv4_mapped or found.scope_id):
        return False
    return not (found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified)


def _candidate(endpoint: SliceEndpoint, port: int, node_name: str) -> _Candidate:
    """Conditions that nobody tells: ready and serving are taken as true, terminating as false."""
    told = endpoint.conditions
    ready = told is None or told.ready is not False
    serving = ready if told is None or told.serving is None else told.serving
    return _Candidate(
        Endpoint(str(ip_address(endpoint.addresses[0])), port, endpoint.nodeName == node_name),
        is_ready=ready,
        is_serving_to_the_end=bool(told and told.terminating and serving),
    )
