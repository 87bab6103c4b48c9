"""Which of the free CPUs a container gets. Pure.

Whole large groups first, so that what is together stays together; of what is left over, from the groups that are fullest used,
so that empty ones stay whole. Source: docs/facts/node-resources.md 11.2 ("Picking order").
"""

import itertools
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence

from nodeagent.resources.cpu import topology as level
from nodeagent.resources.cpu.topology import CPU, Topology
from nodeagent.resources.cpuset import CPUSet

_Level = Callable[[CPU], int]


class NotEnough(ValueError):
    """Fewer CPUs are free than are needed."""

    def __init__(self, wanted: int, free: int) -> None:
        super().__init__(f"not enough cpus available to satisfy request: requested={wanted}, available={free}")


def pick(topology: Topology, free: CPUSet, count: int, *, by_cache: bool = False, across_cores: bool = False) -> CPUSet:
    """`count` of the free CPUs, packed as closely as can be. Raises NotEnough.

    `across_cores`: of what is less than a NUMA node or a socket, one CPU of each core before a second one of any.
    """
    if count > len(free):
        raise NotEnough(count, len(free))
    chosen: set[int] = set()
    large = _large_levels(topology)
    for whole in (*large, *((level.cache,) if by_cache else ())):
        for group in _whole_groups(topology, free, whole):
            if len(group) <= count - len(chosen) and not group & chosen:
                chosen |= group
    if by_cache:
        chosen |= _within_one_cache(topology, free - chosen, count - len(chosen))
    if across_cores:
        chosen.update(itertools.islice(_core_by_core(topology, free - chosen), count - len(chosen)))
        return frozenset(chosen)
    for cpus in _cores(topology, free - chosen, large):
        if len(cpus) <= count - len(chosen) and cpus == _all_of(topology, level.core, cpus):
            chosen |= cpus
    # at last single CPUs, from the cores that are in use already
    chosen.update(itertools.islice(_singles(topology, free - chosen, large), count - len(chosen)))
    return frozenset(chosen)


def pick_across_nodes(topology: Topology, free: CPUSet, count: int, *, group: int = 1) -> CPUSet:
    """The same, in equal parts from as few NUMA nodes as can hold them; packed where no equal parts can be had.

    `group`: CPUs that stay together, those of a core where whole cores are given. Raises NotEnough.
    """
    if count > len(free):
        raise NotEnough(count, len(free))
    by_node = topology.groups(level.node, free)
    whole_nodes = topology.groups(level.node)
    if count % group == 0:
        for size in range(1, len(whole_nodes) + 1):
            fitting = [
                (spread, nodes)
                for nodes in itertools.combinations(sorted(by_node), size)
                if (parts := _parts(nodes, by_node, count, group)) is not None
                for spread in (_imbalance(by_node, dict(zip(nodes, parts, strict=True))),)
            ]
            if fitting:
                _, best = min(fitting)
                shares = _parts(best, by_node, count, group)
                assert shares is not None
                taken = (pick(topology, by_node[node], share) for node, share in zip(best, shares, strict=True))
                return frozenset().union(*taken)
    return pick(topology, free, count)


def _parts(nodes: Sequence[int], by_node: dict[int, CPUSet], count: int, group: int) -> list[int] | None:
    """How many CPUs each node gives: the same number of groups, and what is left over by one group each. None: they cannot."""
    groups, extra = divmod(count // group, len(nodes))
    parts = [groups * group] * len(nodes)
    # who has most left bears what is left over
    for index in sorted(range(len(nodes)), key=lambda i: -len(by_node[nodes[i]]))[:extra]:
        parts[index] += group
    fits = all(0 < part <= len(by_node[node]) for node, part in zip(nodes, parts, strict=True))
    return parts if fits else None


def _imbalance(by_node: dict[int, CPUSet], parts: dict[int, int]) -> float:
    return statistics.pstdev(len(cpus) - parts.get(node, 0) for node, cpus in by_node.items())


def _large_levels(topology: Topology) -> tuple[_Level, _Level]:
    """NUMA nodes and sockets, the larger first."""
    by_node = len(topology.sockets) >= len(topology.nodes)
    return (level.node, level.socket) if by_node else (level.socket, level.node)


def _whole_groups(topology: Topology, free: CPUSet, of: _Level) -> Iterator[CPUSet]:
    """The groups all of whose CPUs are free, by their numbers."""
    for _, cpus in sorted(topology.groups(of).items()):
        if cpus <= free:
            yield cpus


def _within_one_cache(topology: Topology, free: CPUSet, count: int) -> CPUSet:
    """All that is still needed from below one cache: the one with least to spare. Empty: none has as many."""
    if count <= 0:
        return frozenset()
    fitting = [(len(cpus), key, cpus) for key, cpus in topology.groups(level.cache, free).items() if len(cpus) >= count]
    return pick(topology, min(fitting)[2], count) if fitting else frozenset()


def _cores(topology: Topology, free: CPUSet, large: Iterable[_Level]) -> Iterator[CPUSet]:
    """What is free of every core, of the fullest used nodes and sockets first."""
    for cpus in _descend(topology, free, tuple(large)):
        groups = topology.groups(level.core, cpus)
        yield from (groups[key] for key in sorted(groups, key=lambda core: (len(groups[core]), core)))


def _singles(topology: Topology, free: CPUSet, large: Iterable[_Level]) -> Iterator[int]:
    for cpus in _cores(topology, free, large):
        yield from sorted(cpus)


def _core_by_core(topology: Topology, free: CPUSet) -> Iterator[int]:
    """The first CPU of every core, then the second ones; socket by socket, the fullest used first."""
    ranks = {cpu: rank for cpus in topology.groups(level.core).values() for rank, cpu in enumerate(sorted(cpus))}
    groups = topology.groups(level.socket, free)
    for key in sorted(groups, key=lambda found: (len(groups[found]), found)):
        yield from sorted(groups[key], key=lambda cpu: (ranks[cpu], cpu))


def _descend(topology: Topology, free: CPUSet, levels: tuple[_Level, ...]) -> Iterator[CPUSet]:
    """The free CPUs group by group, within groups of groups; the fullest used first."""
    if not levels:
        yield free
        return
    groups = topology.groups(levels[0], free)
    for key in sorted(groups, key=lambda found: (len(groups[found]), found)):
        yield from _descend(topology, groups[key], levels[1:])


def _all_of(topology: Topology, of: _Level, cpus: CPUSet) -> CPUSet:
    key = of(topology.cpus[next(iter(cpus))])
    return topology.groups(of)[key]
