"""Machines of other shapes than this one: their CPUs as values, and as a tree of /sys."""

from pathlib import Path

from nodeagent.resources import cpuset
from nodeagent.resources.cpu.topology import CPU, Topology


def machine(sockets: int = 1, nodes: int = 1, caches: int = 1, cores: int = 4, threads: int = 2) -> Topology:
    """`nodes` a socket, `caches` a node, `cores` a cache. Siblings are half the machine apart, as on real ones."""
    half = sockets * nodes * caches * cores
    cpus: dict[int, CPU] = {}
    for core in range(half):
        cache = core // cores
        node = cache // caches
        for thread in range(threads):
            cpus[core + thread * half] = CPU(core=core, cache=cache * cores, node=node, socket=node // nodes)
    return Topology(cpus)


def write_machine(root: Path, topology: Topology) -> None:
    """The same as the kernel shows it."""
    folder = root / "sys/devices/system/cpu"
    folder.mkdir(parents=True)
    (folder / "online").write_text(cpuset.text_of(topology.all) + "\n")
    for number, cpu in topology.cpus.items():
        own = folder / f"cpu{number}"
        (own / "topology").mkdir(parents=True)
        (own / "cache/index3").mkdir(parents=True)
        (own / "topology/physical_package_id").write_text(f"{cpu.socket}\n")
        siblings = topology.groups(lambda it: it.core)[cpu.core]
        (own / "topology/thread_siblings_list").write_text(cpuset.text_of(siblings) + "\n")
        sharing = topology.groups(lambda it: it.cache)[cpu.cache]
        (own / "cache/index3/shared_cpu_list").write_text(cpuset.text_of(sharing) + "\n")
    for node, cpus in topology.groups(lambda it: it.node).items():
        own = root / f"sys/devices/system/node/node{node}"
        own.mkdir(parents=True)
        (own / "cpulist").write_text(cpuset.text_of(cpus) + "\n")
