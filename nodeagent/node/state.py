"""What this node is at the moment: the one owner of what admission, the Node's status and the pods' configurations ask of it.

Who finds something out calls the setter that is named for it; who shows the node waits for `changed`.
"""

import asyncio
from collections.abc import Mapping, Sequence

from nodeagent.node import capacity
from nodeagent.node.capacity import DeviceCount, Limits
from nodeagent.node.conditions import Pressure
from nodeagent.node.facts import Machine

# Features whose wire formats and rules this agent speaks: Node.status.declaredFeatures, and what pods may require.
DECLARED_FEATURES = (
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    "InPlacePodVerticalScalingMemoryBackedVolumes",
    "RestartAllContainersOnContainerExits",
)


class NodeState:
    """Belongs to the event loop. `storage_bytes`: size of the file system under the root dir, None: not accounted for.

    `changed` is set by everything that the Node's status shows, also by what others own (`notify`); who publishes the status
    clears it.
    """

    def __init__(
        self,
        machine: Machine,
        limits: Limits,
        *,
        storage_bytes: int | None,
        host_ips: Sequence[str],
        declared_features: Sequence[str] = DECLARED_FEATURES,
    ) -> None:
        self.changed = asyncio.Event()
        self._machine = machine
        self._limits = limits
        self._storage_bytes = storage_bytes
        self._devices: Mapping[str, DeviceCount] = {}
        self._host_ips = tuple(host_ips)
        self._declared_features = tuple(declared_features)
        self._pressure = Pressure()
        self._shutting_down = False
        self._count()

    @property
    def capacity(self) -> Mapping[str, str]:
        """Quantities by resource name."""
        return self._capacity

    @property
    def allocatable(self) -> Mapping[str, str]:
        """What pods may use of it."""
        return self._allocatable

    @property
    def host_ips(self) -> tuple[str, ...]:
        """The primary first."""
        return self._host_ips

    @property
    def pressure(self) -> Pressure:
        return self._pressure

    @property
    def pressures(self) -> tuple[str, ...]:
        """The conditions that hold, in the order in which the status has them."""
        pressure = self._pressure
        named = (("MemoryPressure", pressure.memory), ("DiskPressure", pressure.disk), ("PIDPressure", pressure.pid))
        return tuple(name for name, holds in named if holds)

    @property
    def shutting_down(self) -> bool:
        return self._shutting_down

    @property
    def declared_features(self) -> tuple[str, ...]:
        return self._declared_features

    def set_host_ips(self, host_ips: Sequence[str]) -> None:
        """Nothing to publish: the status asks for the addresses whenever it is made."""
        self._host_ips = tuple(host_ips)

    def set_devices(self, devices: Mapping[str, DeviceCount]) -> None:
        """All extended resources, by name."""
        if devices != self._devices:
            self._devices = dict(devices)
            self._count()
            self.notify()

    def set_pressure(self, *, memory: bool | None = None, disk: bool | None = None, pid: bool | None = None) -> None:
        """Whether the node is short of it, by who watches that; None: somebody else does, and it stays as it is."""
        before = self._pressure
        now = Pressure(
            memory=before.memory if memory is None else memory,
            disk=before.disk if disk is None else disk,
            pid=before.pid if pid is None else pid,
        )
        if now != before:
            self._pressure = now
            self.notify()

    def set_shutting_down(self, shutting_down: bool) -> None:
        if shutting_down is not self._shutting_down:
            self._shutting_down = shutting_down
            self.notify()

    def notify(self) -> None:
        """Something changed that the status shows: publish soon."""
        self.changed.set()

    def _count(self) -> None:
        self._capacity = capacity.capacity(self._machine, self._limits, self._storage_bytes, self._devices)
        self._allocatable = capacity.allocatable(self._capacity, self._limits, self._devices)
