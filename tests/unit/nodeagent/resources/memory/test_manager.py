"""nodeagent.resources.memory.manager: which nodes a container's memory comes from. docs/facts/node-resources.md 11.3."""

from pathlib import Path
from typing import Any

import pytest
from pod_builders import pod, resources

from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.resources.contract import ANYWHERE, CannotAssign, Hint
from nodeagent.resources.memory.accounts import Block, Room
from nodeagent.resources.memory.manager import MemoryManager
from nodeagent.resources.memory.state import MemoryState

ZERO, ONE, BOTH = frozenset({0}), frozenset({1}), frozenset({0, 1})


def memory(size: int, **more: Any) -> dict[str, Any]:
    wanted = {"cpu": "1", "memory": str(size)}
    return {**resources(wanted, wanted), **more}


def manager(folder: Path) -> MemoryManager:
    """Two nodes of 100 bytes each, 10 of them reserved."""
    room = {"memory": Room(total=100, system_reserved=10, allocatable=90)}
    return MemoryManager(MemoryState(folder, "Static", {0: room, 1: room}))


async def give(made: MemoryManager, wanted: AgentPod, hint: Hint = ANYWHERE) -> list[str]:
    listed = (*(wanted.spec.initContainers or ()), *wanted.spec.containers)
    for container in listed:
        await made.allocate(wanted, container, hint)
    return [made.nodes_of(wanted.uid, item.name) for item in listed]


async def test_guaranteed_pods_alone(tmp_path: Path) -> None:
    """Others, and all where the policy is None, have memory from anywhere."""
    burstable = pod(resources({"memory": "5"}, {"memory": "9"}))
    assert not manager(tmp_path).concerns(burstable)
    assert manager(tmp_path).concerns(pod(memory(5)))
    assert not MemoryManager().concerns(pod(memory(5)))
    assert await give(manager(tmp_path), burstable) == [""]


async def test_the_smallest_set_of_nodes(tmp_path: Path) -> None:
    """The first node that has as much left; two together where none has; one that serves alone serves with none."""
    made = manager(tmp_path)
    assert await give(made, pod(memory(60), meta={"uid": "a"})) == ["0"]
    assert await give(made, pod(memory(60), meta={"uid": "b"})) == ["1"]
    with pytest.raises(CannotAssign, match="failed to get the default NUMA affinity, no NUMA nodes with enough memory"):
        await give(made, pod(memory(40), meta={"uid": "c"}))
    made.release(PodUID("a"))
    made.release(PodUID("b"))
    assert await give(made, pod(memory(120), meta={"uid": "d"})) == ["0-1"]
    with pytest.raises(CannotAssign, match="no NUMA nodes with enough memory"):
        await give(made, pod(memory(90), meta={"uid": "e"}))
    assert await give(made, pod(memory(60), meta={"uid": "f"})) == ["0-1"]


async def test_hints(tmp_path: Path) -> None:
    """Sets of nodes that have as much left; preferred where no fewer would do at all; what is given stays where it is."""
    made = manager(tmp_path)
    small, large = pod(memory(50), meta={"uid": "a"}), pod(memory(120), meta={"uid": "b"})
    both = Hint(nodes=BOTH, preferred=False)
    assert made.hints(small, small.spec.containers) == {"memory": [Hint(nodes=ZERO), Hint(nodes=ONE), both]}
    assert made.hints(large, large.spec.containers) == {"memory": [Hint(nodes=BOTH)]}
    assert await give(made, small, Hint(nodes=ONE)) == ["1"]
    assert made.hints(small, small.spec.containers) == {"memory": [Hint(nodes=ONE)]}
    assert made.hints(large, large.spec.containers) == {"memory": []}


async def test_a_hint_is_extended(tmp_path: Path) -> None:
    """Where the other managers' node has too little, others are added; where that cannot be, the pod is refused."""
    made = manager(tmp_path)
    assert await give(made, pod(memory(120), meta={"uid": "a"}), Hint(nodes=ZERO, preferred=False)) == ["0-1"]
    with pytest.raises(CannotAssign, match="failed to find NUMA nodes to extend the current topology hint"):
        await give(made, pod(memory(90), meta={"uid": "b"}), Hint(nodes=ZERO, preferred=False))


async def test_a_hint_that_cannot_be_followed(tmp_path: Path) -> None:
    """A node that serves together with another serves none alone, and nodes that serve alone none together, however much they
    have left; one that is preferred is not made worse.
    """
    made = manager(tmp_path)
    await give(made, pod(memory(120), meta={"uid": "a"}))  # of both
    with pytest.raises(CannotAssign, match=r"\[memorymanager\] preferred hint violates NUMA node allocation, "):
        await give(made, pod(memory(10), meta={"uid": "b"}), Hint(nodes=ONE))
    made.release(PodUID("a"))
    await give(made, pod(memory(60), meta={"uid": "c"}), Hint(nodes=ZERO))
    with pytest.raises(CannotAssign, match="preferred hint violates NUMA node allocation"):
        await give(made, pod(memory(10), meta={"uid": "d"}), Hint(nodes=BOTH, preferred=False))
    made.release(PodUID("c"))
    assert await give(made, pod(memory(10), meta={"uid": "e"}), Hint(nodes=BOTH, preferred=False)) == ["0-1"]
    made.release(PodUID("e"))
    huge = {"hugepages-2Mi": Room(total=50, system_reserved=0, allocatable=50)}
    room = {"memory": Room(total=100, system_reserved=10, allocatable=90)}
    uneven = MemoryManager(MemoryState(tmp_path, "Static", {0: room, 1: room | huge}))
    wanted = {"cpu": "1", "memory": "20", "hugepages-2Mi": "10"}
    with pytest.raises(CannotAssign, match="failed to find the extended preferred hint"):  # node 1 alone would do
        await give(uneven, pod(resources(wanted, wanted), meta={"uid": "f"}), Hint(nodes=ZERO))


async def test_init_containers_hand_on(tmp_path: Path) -> None:
    """Memory that one had is counted once when the next has it, too."""
    made = manager(tmp_path)
    wanted = pod(memory(50), init=[memory(80)], meta={"uid": "a"})
    assert await give(made, wanted) == ["0", "0"]
    assert made.blocks_of(wanted.uid, "i0") == (Block(nodes=ZERO, resource="memory", size=30),)
    assert await give(made, pod(memory(10), meta={"uid": "b"})) == ["0"]


async def test_after_a_restart(tmp_path: Path) -> None:
    """The next agent knows who has what."""
    made = manager(tmp_path)
    wanted = pod(memory(50), meta={"uid": "a"})
    await give(made, wanted, Hint(nodes=ONE))
    await made.save()
    room = {"memory": Room(total=100, system_reserved=10, allocatable=90)}
    state = MemoryState(tmp_path, "Static", {0: room, 1: room})
    state.load()
    assert MemoryManager(state).nodes_of(wanted.uid, "c0") == "1"
