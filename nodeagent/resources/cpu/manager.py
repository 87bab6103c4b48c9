"""The CPU manager's policies: by `none` all containers run on all CPUs, by `static` some have CPUs of their own.

Source: docs/facts/node-resources.md 11.2.
"""

import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from lightkube.models.core_v1 import Container
from typing_extensions import override

from nodeagent.config.cpu_options import CPUOptions
from nodeagent.podspec.effective import amounts
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.podspec.qos import GUARANTEED, qos_class
from nodeagent.resources import cpuset
from nodeagent.resources.checkpoint import BadState
from nodeagent.resources.containers import in_order, needed_at_once, reusable
from nodeagent.resources.contract import CannotAssign, Hint, Hints, ResourceManager
from nodeagent.resources.cpu.picking import NotEnough, pick, pick_across_nodes
from nodeagent.resources.cpu.state import CPUState
from nodeagent.resources.cpu.topology import Topology, core
from nodeagent.resources.cpuset import CPUSet

CPU = "cpu"
SMT_ALIGNMENT = "SMTAlignmentError"


class CPUManager(ResourceManager):
    """The policy `none`, and what both have in common."""

    policy = "none"

    def __init__(self, folder: Path) -> None:
        self.state = CPUState(folder, self.policy)

    def load(self) -> None:
        """Go on with what the agent before has recorded. Raises BadState."""
        if not self.state.load():
            self.state.set_shared(frozenset())

    def cpus_of(self, uid: str, container: str) -> CPUSet:
        """The CPUs that a container runs on: its own, or the shared ones. Empty: all."""
        return self.state.of(uid).get(container, self.state.shared)

    def exclusive(self, uid: str) -> Mapping[str, CPUSet]:
        """The CPUs that containers of the pod have for themselves, by container name."""
        return self.state.of(uid)

    @property
    def allocatable(self) -> CPUSet:
        """What containers could have for themselves, were nothing given."""
        return frozenset()

    @override
    def concerns(self, pod: AgentPod) -> bool:
        return False

    @override
    def hints(self, pod: AgentPod, containers: Sequence[Container]) -> Hints:
        return {}

    @override
    async def allocate(self, pod: AgentPod, container: Container, hint: Hint) -> None:
        return

    @override
    def release(self, uid: PodUID) -> None:
        self.state.remove(uid)

    @override
    def holders(self) -> frozenset[PodUID]:
        return self.state.uids()

    @override
    async def save(self) -> None:
        await self.state.save()


class StaticCPUManager(CPUManager):
    """`reserved`: never a container's own; with `options.strict` of no pod at all."""

    policy = "static"

    def __init__(self, folder: Path, topology: Topology, reserved: CPUSet, options: CPUOptions) -> None:
        super().__init__(folder)
        self._topology = topology
        self._reserved = reserved
        self._options = options

    @property
    @override
    def allocatable(self) -> CPUSet:
        return self._topology.all - self._reserved

    @override
    def load(self) -> None:
        usable = self.allocatable if self._options.strict else self._topology.all
        if not self.state.load():
            self.state.set_shared(usable)
            return
        shared, assigned, path = self.state.shared, self.state.assigned(), self.state.path
        wrong = shared & self._reserved if self._options.strict else self._reserved - shared
        if wrong:
            names = f"reserved cpus: {cpuset.text_of(self._reserved)}, default cpuset: {cpuset.text_of(shared)}"
            kept = "some of strictly reserved cpus are" if self._options.strict else "not all reserved cpus are"
            raise BadState(path, f"{kept} present in defaultCpuSet: {names}")
        if shared & assigned:
            raise BadState(
                path, f"cpus {cpuset.text_of(shared & assigned)} are both a container's and in defaultCpuSet"
            )
        if shared | assigned != usable:
            raise BadState(
                path,
                f"current set of available CPUs {cpuset.text_of(usable)} doesn't match with CPUs in state "
                f"{cpuset.text_of(shared | assigned)}",
            )

    @override
    def concerns(self, pod: AgentPod) -> bool:
        return any(exclusive_cpus(pod, container) for container in in_order(pod))

    @override
    def hints(self, pod: AgentPod, containers: Sequence[Container]) -> Hints:
        count = _count(pod, containers)
        if not count:
            return {}
        own = [self.state.of(pod.uid)[item.name] for item in containers if item.name in self.state.of(pod.uid)]
        if own:  # it is where it is
            held = frozenset().union(*own)
            return {CPU: self._hints(count, held, held) if len(held) >= count else []}
        free = self._free() | self._reusable(pod)
        return {CPU: self._hints(count, free, self._topology.all)}

    @override
    async def allocate(self, pod: AgentPod, container: Container, hint: Hint) -> None:
        count = exclusive_cpus(pod, container)
        if not count or container.name in self.state.of(pod.uid):
            return
        used_before = self._reusable(pod)
        free = self._free() | used_before
        self._check_cores(count, free)
        if hint.nodes is not None:
            used_before &= self._topology.in_nodes(hint.nodes)
        try:
            if count > len(free):
                raise NotEnough(count, len(free))
            again = self._take(min(count, len(used_before)), used_before)
            self.state.assign(pod.uid, container.name, again | self._pick(count - len(again), free - again, hint))
        except NotEnough as error:
            raise CannotAssign(str(error)) from error

    def _free(self) -> CPUSet:
        return self.state.shared - self._reserved

    def _reusable(self, pod: AgentPod) -> CPUSet:
        return reusable(pod, self.state.of(pod.uid))

    def _check_cores(self, count: int, free: CPUSet) -> None:
        """Raises CannotAssign where whole cores are to be given, and cannot."""
        if not self._options.full_pcpus_only:
            return
        per_core = self._topology.cpus_per_core
        if count % per_core:
            raise CannotAssign(
                f"SMT Alignment Error: requested {count} cpus not multiple cpus per core = {per_core}", SMT_ALIGNMENT
            )
        whole = self._topology.groups(core)
        physical = sum(len(cpus) for key, cpus in self._topology.groups(core, free).items() if cpus == whole[key])
        if count > physical:
            raise CannotAssign(
                "SMT Alignment Error: not enough free physical CPUs: "
                f"available physical CPUs = {physical}, requested CPUs = {count}, CPUs per core = {per_core}",
                SMT_ALIGNMENT,
            )

    def _pick(self, count: int, free: CPUSet, hint: Hint) -> CPUSet:
        """Of the nodes of the hint as many as can be, and the rest from anywhere. Raises NotEnough."""
        taken: CPUSet = frozenset()
        if hint.nodes is not None:
            near = free & self._topology.in_nodes(hint.nodes)
            if self._options.align_by_socket:
                sockets = self._topology.sockets_of(hint.nodes)
                near = frozenset(cpu for cpu in free if self._topology.cpus[cpu].socket in sockets)
            taken = self._take(min(count, len(near)), near)
        return taken | self._take(count - len(taken), free - taken)

    def _take(self, count: int, free: CPUSet) -> CPUSet:
        if self._options.across_numa:
            group = self._topology.cpus_per_core if self._options.full_pcpus_only else 1
            return pick_across_nodes(self._topology, free, count, group=group)
        return pick(
            self._topology, free, count, by_cache=self._options.by_cache, across_cores=self._options.across_cores
        )

    def _hints(self, count: int, free: CPUSet, all_cpus: CPUSet) -> list[Hint]:
        """Every set of nodes with enough free CPUs; preferred: those of as few nodes as it takes on an empty machine."""
        nodes = sorted(self._topology.nodes)
        sets = [
            (frozenset(chosen), self._topology.in_nodes(chosen))
            for size in range(1, len(nodes) + 1)
            for chosen in itertools.combinations(nodes, size)
        ]
        fewest = min((len(chosen) for chosen, cpus in sets if len(cpus & all_cpus) >= count), default=len(nodes))
        return [
            Hint(nodes=chosen, preferred=len(chosen) == fewest or self._shares_a_socket(chosen))
            for chosen, cpus in sets
            if len(cpus & free) >= count
        ]

    def _shares_a_socket(self, nodes: frozenset[int]) -> bool:
        return self._options.align_by_socket and len(self._topology.sockets_of(nodes)) == 1


def exclusive_cpus(pod: AgentPod, container: Container) -> int:
    """How many CPUs the container is to have for itself."""
    if pod.spec.resources is not None or qos_class(pod.spec, pod.status) != GUARANTEED:
        return 0
    wanted = amounts(container.resources, "requests").get(CPU) or amounts(container.resources, "limits").get(CPU)
    return int(wanted) if wanted is not None and wanted.denominator == 1 else 0


def _count(pod: AgentPod, containers: Sequence[Container]) -> int:
    """Of one container, or of all of a pod."""
    return int(needed_at_once(pod, containers, lambda item: {CPU: Fraction(exclusive_cpus(pod, item))})[CPU])
