"""The memory manager's policies: by `None` memory comes from any NUMA node, by `Static` Guaranteed pods have nodes of their own.

Source: docs/facts/node-resources.md 11.3.
"""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

from lightkube.models.core_v1 import Container
from typing_extensions import override

from nodeagent.podspec.containers import is_sidecar
from nodeagent.podspec.effective import Amounts, amounts
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.podspec.qos import GUARANTEED, qos_class
from nodeagent.resources import cpuset
from nodeagent.resources.containers import in_order, needed_at_once
from nodeagent.resources.contract import CannotAssign, Hint, Hints, ResourceManager
from nodeagent.resources.memory.accounts import Block, Nodes, Sizes
from nodeagent.resources.memory.nodes import MEMORY
from nodeagent.resources.memory.state import MemoryState

NONE, STATIC = "None", "Static"


class MemoryManager(ResourceManager):
    """The policy `None` where there is no `state`."""

    def __init__(self, state: MemoryState | None = None) -> None:
        self._state = state

    def nodes_of(self, uid: PodUID, container: str) -> str:
        """The list of nodes that a container's memory comes from; empty: any."""
        return cpuset.text_of(frozenset().union(*(block.nodes for block in self.blocks_of(uid, container))))

    def blocks_of(self, uid: PodUID, container: str) -> tuple[Block, ...]:
        return self._state.of(uid).get(container, ()) if self._state is not None else ()

    def allocatable(self) -> tuple[Block, ...]:
        """What containers could have, were nothing given."""
        if self._state is None:
            return ()
        return tuple(
            Block(nodes=frozenset({node}), resource=name, size=room.allocatable)
            for node, listed in sorted(self._state.accounts().rooms.items())
            for name, room in sorted(listed.items())
            if room.allocatable
        )

    @override
    def concerns(self, pod: AgentPod) -> bool:
        return self._state is not None and any(_wanted(pod, item) for item in in_order(pod))

    @override
    def hints(self, pod: AgentPod, containers: Sequence[Container]) -> Hints:
        wanted = _together(pod, containers)
        if self._state is None or not wanted:
            return {}
        held = [block for item in containers for block in self.blocks_of(pod.uid, item.name)]
        if held:  # it is where it is
            return {name: [Hint(nodes=block.nodes) for block in held if block.resource == name][:1] for name in wanted}
        found = self._hints(pod, wanted)
        return dict.fromkeys(wanted, found)

    @override
    async def allocate(self, pod: AgentPod, container: Container, hint: Hint) -> None:
        wanted = _wanted(pod, container)
        if self._state is None or not wanted or self.blocks_of(pod.uid, container.name):
            return
        nodes = self._choose(pod, wanted, hint)
        self._use_again(pod, nodes, wanted)
        blocks = tuple(Block(nodes=nodes, resource=name, size=size) for name, size in sorted(wanted.items()))
        self._state.set(pod.uid, container.name, blocks)

    @override
    def release(self, uid: PodUID) -> None:
        if self._state is not None:
            self._state.remove(uid)

    @override
    def holders(self) -> frozenset[PodUID]:
        return self._state.uids() if self._state is not None else frozenset()

    @override
    async def save(self) -> None:
        if self._state is not None:
            await self._state.save()

    def _choose(self, pod: AgentPod, wanted: Sizes, hint: Hint) -> Nodes:
        """The nodes of the hint, or more with them where those have too little. Raises CannotAssign."""
        assert self._state is not None
        accounts = self._state.accounts()
        if hint.nodes is not None and accounts.has_free(hint.nodes, wanted, self._reusable(pod)):
            if accounts.violates(hint.nodes):
                raise CannotAssign("[memorymanager] preferred hint violates NUMA node allocation")
            return hint.nodes
        found = [
            each for each in self._hints(pod, wanted) if hint.nodes is None or hint.nodes <= (each.nodes or frozenset())
        ]
        if not found and hint.nodes is None:
            raise CannotAssign(
                "[memorymanager] failed to get the default NUMA affinity, no NUMA nodes with enough memory is available"
            )
        if not found:
            raise CannotAssign("[memorymanager] failed to find NUMA nodes to extend the current topology hint")
        best = min(found, key=lambda each: (not each.preferred, len(each.nodes or ()), sorted(each.nodes or ())))
        if hint.nodes is not None and hint.preferred and not best.preferred:
            raise CannotAssign("[memorymanager] failed to find the extended preferred hint")
        assert best.nodes is not None
        return best.nodes

    def _hints(self, pod: AgentPod, wanted: Sizes) -> list[Hint]:
        """Every set of nodes with enough left that serves nobody else otherwise; preferred: as few as it takes at all."""
        assert self._state is not None
        accounts, again = self._state.accounts(), self._reusable(pod)
        nodes = sorted(accounts.rooms)
        sets = [
            frozenset(chosen)
            for size in range(1, len(nodes) + 1)
            for chosen in itertools.combinations(nodes, size)
            if accounts.has(frozenset(chosen), wanted)
        ]
        fewest = min((len(chosen) for chosen in sets), default=0)
        return [
            Hint(nodes=chosen, preferred=len(chosen) == fewest)
            for chosen in sets
            if accounts.has_free(chosen, wanted, again) and not accounts.violates(chosen)
        ]

    def _reusable(self, pod: AgentPod) -> list[Block]:
        """What ordinary init containers have: they will have ended."""
        init = [item.name for item in pod.spec.initContainers or () if not is_sidecar(item)]
        return [block for name in init for block in self.blocks_of(pod.uid, name)]

    def _use_again(self, pod: AgentPod, nodes: Nodes, wanted: Sizes) -> None:
        """Take of init containers' blocks on the same nodes what the next container has: it is counted once."""
        assert self._state is not None
        left = dict(wanted)
        for item in pod.spec.initContainers or ():
            blocks = self.blocks_of(pod.uid, item.name)
            if is_sidecar(item) or not blocks:
                continue
            smaller = []
            for block in blocks:
                taken = min(block.size, left.get(block.resource, 0)) if block.nodes == nodes else 0
                left[block.resource] = left.get(block.resource, 0) - taken
                smaller.append(Block(nodes=block.nodes, resource=block.resource, size=block.size - taken))
            self._state.set(pod.uid, item.name, tuple(smaller))


def _wanted(pod: AgentPod, container: Container) -> dict[str, int]:
    """Bytes by resource that the container is to have from nodes of its own."""
    if pod.spec.resources is not None or qos_class(pod.spec, pod.status) != GUARANTEED:
        return {}
    limits = amounts(container.resources, "limits")
    return {name: math.ceil(size) for name, size in limits.items() if size and _counts(name)}


def _together(pod: AgentPod, containers: Sequence[Container]) -> dict[str, int]:
    total = needed_at_once(pod, containers, lambda item: _amounts(pod, item))
    return {name: int(size) for name, size in total.items()}


def _amounts(pod: AgentPod, container: Container) -> Amounts:
    return {name: Fraction(size) for name, size in _wanted(pod, container).items()}


def _counts(resource: str) -> bool:
    return resource == MEMORY or resource.startswith("hugepages-")
