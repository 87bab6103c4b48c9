"""A device as its plugin tells of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proto import deviceplugin_pb2 as api

HEALTHY = "Healthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """`nodes`: the NUMA nodes that it is at; empty: it is not known to be at any."""

    id: str
    healthy: bool
    nodes: frozenset[int] = frozenset()


Devices = Mapping[str, Device]  # by id


def devices_of(listed: Iterable[api.Device]) -> dict[str, Device]:
    return {
        each.ID: Device(
            id=each.ID, healthy=each.health == HEALTHY, nodes=frozenset(node.ID for node in each.topology.nodes)
        )
        for each in listed
    }
