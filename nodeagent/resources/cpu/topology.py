"""Which CPUs share a core, a cache, a NUMA node, a socket: read from /sys once, as the agent starts.

Source: Documentation/ABI/stable/sysfs-devices-system-cpu and sysfs-devices-node of the kernel.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.resources import cpuset
from nodeagent.resources.cpuset import CPUSet

ROOT = Path("/")
_CPUS, _NODES = "sys/devices/system/cpu", "sys/devices/system/node"
_LAST_LEVEL = 3  # of caches


@dataclass(frozen=True, slots=True, kw_only=True)
class CPU:
    """Where one logical CPU is. Ids are unique on the machine; a core's is that of its first CPU, a cache's likewise."""

    core: int
    cache: int
    node: int
    socket: int


@dataclass(frozen=True, slots=True)
class Topology:
    """All CPUs that are online, by number."""

    cpus: Mapping[int, CPU]

    @property
    def all(self) -> CPUSet:
        return frozenset(self.cpus)

    @property
    def nodes(self) -> frozenset[int]:
        """NUMA nodes with CPUs."""
        return frozenset(cpu.node for cpu in self.cpus.values())

    @property
    def sockets(self) -> frozenset[int]:
        return frozenset(cpu.socket for cpu in self.cpus.values())

    @property
    def cpus_per_core(self) -> int:
        return len(self.cpus) // len({cpu.core for cpu in self.cpus.values()}) if self.cpus else 1

    def groups(self, of: Callable[[CPU], int], among: Iterable[int] | None = None) -> dict[int, CPUSet]:
        """The CPUs `among` these (None: all) by what `of` says of each."""
        found: dict[int, set[int]] = {}
        for number in self.cpus if among is None else among:
            found.setdefault(of(self.cpus[number]), set()).add(number)
        return {key: frozenset(cpus) for key, cpus in found.items()}

    def in_nodes(self, nodes: Iterable[int]) -> CPUSet:
        wanted = frozenset(nodes)
        return frozenset(number for number, cpu in self.cpus.items() if cpu.node in wanted)

    def sockets_of(self, nodes: Iterable[int]) -> frozenset[int]:
        return frozenset(self.cpus[number].socket for number in self.in_nodes(nodes))


def core(cpu: CPU) -> int:
    return cpu.core


def cache(cpu: CPU) -> int:
    return cpu.cache


def node(cpu: CPU) -> int:
    return cpu.node


def socket(cpu: CPU) -> int:
    return cpu.socket


def online_cpus(root: Path = ROOT) -> CPUSet:
    """Raises OSError, ValueError."""
    return cpuset.parse((root / _CPUS / "online").read_text())


def read_topology(root: Path = ROOT) -> Topology:
    """A machine that tells nothing of nodes and cores has one node, and no two CPUs share a core.

    Raises OSError, ValueError.
    """
    nodes = _nodes(root)
    found: dict[int, CPU] = {}
    for number in online_cpus(root):
        folder = root / _CPUS / f"cpu{number}"
        socket = _number(folder / "topology" / "physical_package_id", 0)
        siblings = _cpus(folder / "topology" / "thread_siblings_list") or {number}
        found[number] = CPU(
            core=min(siblings),
            cache=min(_cpus(folder / "cache" / f"index{_LAST_LEVEL}" / "shared_cpu_list") or {socket}),
            node=nodes.get(number, 0),
            socket=max(socket, 0),
        )
    return Topology(found)


def _nodes(root: Path) -> dict[int, int]:
    """CPU -> NUMA node."""
    found: dict[int, int] = {}
    for folder in (root / _NODES).glob("node[0-9]*"):
        for cpu in _cpus(folder / "cpulist"):
            found[cpu] = int(folder.name.removeprefix("node"))
    return found


def _cpus(path: Path) -> CPUSet:
    try:
        return cpuset.parse(path.read_text())
    except FileNotFoundError:
        return frozenset()


def _number(path: Path, absent: int) -> int:
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return absent
