"""A device as its plugin tells of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proto import deviceplugin_pb2 as api

HEALTHY, UNHEALTHY, UNKNOWN = "Healthy", "Unhealthy", "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """`nodes`: the NUMA nodes that it is at; empty: it is not known to be at any. `health`: unknown while its plugin is away."""

    id: str
    health: str
    nodes: frozenset[int] = frozenset()

    @property
    def healthy(self) -> bool:
        """Whether it can be given to a container."""
        return self.health == HEALTHY


Devices = Mapping[str, Device]  # by id


def devices_of(listed: Iterable[api.Device]) -> dict[str, Device]:
    return {
        each.ID: Device(
            id=each.ID,
            health=HEALTHY if each.health == HEALTHY else UNHEALTHY,
            nodes=frozenset(node.ID for node in each.topology.nodes),
        )
        for each in listed
    }
