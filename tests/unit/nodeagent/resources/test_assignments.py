"""nodeagent.resources.assignments: all or nothing, on the disk before it is used, and given back once."""

from pathlib import Path
from typing import Any

import pytest
from lightkube.models.core_v1 import Container
from machines import machine
from pod_builders import pod, resources
from typing_extensions import override

from nodeagent.config.cpu_options import CPUOptions
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.resources.assignments import Assignments
from nodeagent.resources.contract import Assigned, CannotAssign
from nodeagent.resources.cpu.manager import StaticCPUManager
from nodeagent.resources.cpu.topology import Topology
from nodeagent.resources.devices.inventory import Inventory
from nodeagent.resources.devices.manager import DeviceManager
from nodeagent.resources.devices.state import DeviceState
from nodeagent.resources.dra.manager import DRAManager
from nodeagent.resources.memory.manager import MemoryManager
from nodeagent.resources.placement import Placement


def guaranteed(uid: str, *counts: str) -> AgentPod:
    wanted: list[dict[str, Any]] = [{"cpu": count, "memory": "1Mi"} for count in counts]
    return pod(*(resources(each, each) for each in wanted), meta={"uid": uid})


def _no_tasks(work: Any, name: str) -> Any:
    raise AssertionError("no plugin registers")


class Claims(DRAManager):
    """Nobody has any."""

    def __init__(self) -> None:
        return

    @override
    def cdi_ids(self, pod: AgentPod, container: Container) -> tuple[str, ...]:
        return ()


class Node:
    """Four cores, the first CPU reserved."""

    def __init__(self, folder: Path, placement: Placement | None = None, topology: Topology | None = None) -> None:
        self.changes = 0
        self.known: set[str] = set()
        self.ready = False
        self.cpus = StaticCPUManager(folder, topology or machine(cores=4), frozenset({0}), CPUOptions())
        self.cpus.load()
        self.devices = state = DeviceState(folder)
        self.assignments = Assignments(
            placement=placement or Placement(),
            cpus=self.cpus,
            devices=DeviceManager(
                state, Inventory(state, start=_no_tasks, changed=lambda counts: None), lambda uid: False
            ),
            memory=MemoryManager(),
            claims=Claims(),
            known=lambda: self.known,
            ready=lambda: self.ready,
            changed=self.changed,
        )

    def changed(self) -> None:
        self.changes += 1


async def test_assigned_cpus_are_in_the_configuration(tmp_path: Path) -> None:
    """A container's own, and on the disk; those of all others are the rest."""
    node = Node(tmp_path)
    wanted = guaranteed("u", "2", "1500m")
    await node.assignments.assign(wanted)
    assert await node.assignments.prepare(wanted, "c0") == Assigned(cpus="1,5", exclusive_cpus=True)
    assert await node.assignments.prepare(wanted, "c1") == Assigned(cpus="0,2-4,6-7")
    assert Node(tmp_path).cpus.exclusive("u") == {"c0": {1, 5}}
    assert node.changes == 1


async def test_a_pod_that_cannot_have_all_gets_nothing(tmp_path: Path) -> None:
    """What its first containers were given is taken back at once."""
    node = Node(tmp_path)
    with pytest.raises(CannotAssign):
        await node.assignments.assign(guaranteed("u", "4", "4"))
    assert node.cpus.holders() == frozenset()
    assert node.cpus.state.shared == set(range(8))


async def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """The pod is refused: an agent that starts again would not know of it."""
    node = Node(tmp_path / "missing")
    with pytest.raises(CannotAssign, match="missing"):
        await node.assignments.assign(guaranteed("u", "2"))
    assert node.cpus.holders() == frozenset()


async def test_pods_that_nobody_knows(tmp_path: Path) -> None:
    """What they had is taken back when the next pod is judged, and not before every source has spoken."""
    node = Node(tmp_path)
    await node.assignments.assign(guaranteed("gone", "4"))
    node.known = {"u"}
    with pytest.raises(CannotAssign):
        await node.assignments.assign(guaranteed("u", "4"))
    node.ready = True
    await node.assignments.assign(guaranteed("u", "4"))
    assert node.cpus.holders() == {"u"}


def test_release_is_repeatable(tmp_path: Path) -> None:
    """A pod that has nothing changes nothing."""
    node = Node(tmp_path)
    node.assignments.release(PodUID("u"))
    assert node.changes == 0


async def test_only_cpus_are_shared_by_the_others(tmp_path: Path) -> None:
    """A pod that gives back CPUs is news for all others; one that had devices alone is not."""
    node = Node(tmp_path)
    await node.assignments.assign(guaranteed("u", "2"))
    node.devices.add("d", "c", "example.com/gpu", {"0": ["one"]}, b"")
    node.assignments.release(PodUID("d"))
    assert (node.devices.uids(), node.changes) == (frozenset(), 1)
    node.assignments.release(PodUID("u"))
    assert node.changes == 2


@pytest.mark.parametrize(("scope", "nodes"), [("container", [{0}, {1}]), ("pod", [{1}, {1}])])
async def test_the_scopes_of_a_place(tmp_path: Path, scope: str, nodes: list[set[int]]) -> None:
    """By the scope container each container is placed alone, by the scope pod all of them together."""
    topology = machine(sockets=2, cores=3)  # node 0: 0-2,6-8; node 1: 3-5,9-11
    placement = Placement(policy="restricted", nodes=frozenset({0, 1}), whole_pod=scope == "pod")
    node = Node(tmp_path, placement, topology)
    wanted = guaranteed("u", "3", "3")
    await node.assignments.assign(wanted)
    found = node.cpus.exclusive("u")
    assert [{topology.cpus[cpu].node for cpu in found[name]} for name in ("c0", "c1")] == nodes


async def test_a_place_that_cannot_be_had(tmp_path: Path) -> None:
    """single-numa-node: more than a node has is refused, and nothing is given."""
    placement = Placement(policy="single-numa-node", nodes=frozenset({0, 1}))
    node = Node(tmp_path, placement, machine(sockets=2, cores=3))
    with pytest.raises(CannotAssign) as caught:
        await node.assignments.assign(guaranteed("u", "2", "7"))
    assert caught.value.reason == "TopologyAffinityError"
    assert node.cpus.holders() == frozenset()
