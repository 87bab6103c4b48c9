"""Ports of the node that a pod takes for itself."""

from collections.abc import Collection
from typing import NamedTuple

from lightkube.models.core_v1 import PodSpec

from nodeagent.podspec.containers import is_sidecar

ANY_ADDRESS = "0.0.0.0"


class HostPort(NamedTuple):
    """`address`: of the node; ANY_ADDRESS: all of them."""

    address: str
    protocol: str
    port: int


def host_ports(spec: PodSpec) -> frozenset[HostPort]:
    """Of containers and sidecars; other init containers have ended when those start."""
    sidecars = [item for item in spec.initContainers or () if is_sidecar(item)]
    return frozenset(
        HostPort(port.hostIP or ANY_ADDRESS, port.protocol or "TCP", port.hostPort)
        for container in (*spec.containers, *sidecars)
        for port in container.ports or ()
        if port.hostPort
    )


def conflict(wanted: Collection[HostPort], taken: Collection[HostPort]) -> bool:
    """Whether one of the ports is taken: same protocol and number, on the same address or with all on either side."""
    return any(_same(one, other) for one in wanted for other in taken)


def _same(one: HostPort, other: HostPort) -> bool:
    same_address = one.address == other.address or ANY_ADDRESS in (one.address, other.address)
    return same_address and one[1:] == other[1:]
