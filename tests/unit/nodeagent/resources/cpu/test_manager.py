"""nodeagent.resources.cpu.manager: who gets CPUs of its own, and which. docs/facts/node-resources.md 11.2."""

from pathlib import Path
from typing import Any

import pytest
from machines import machine
from pod_builders import pod, resources

from nodeagent.config.cpu_options import CPUOptions
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.resources import cpuset
from nodeagent.resources.checkpoint import BadState
from nodeagent.resources.contract import ANYWHERE, CannotAssign, Hint
from nodeagent.resources.cpu.manager import CPUManager, StaticCPUManager, exclusive_cpus

TWO = machine(sockets=2, cores=3)  # node 0: 0-2,6-8; node 1: 3-5,9-11


def cpus(count: str, **more: Any) -> dict[str, Any]:
    wanted = {"cpu": count, "memory": "1Mi"}
    return {**resources(wanted, wanted), **more}


def manager(folder: Path, reserved: str = "0", **options: Any) -> StaticCPUManager:
    made = StaticCPUManager(folder, TWO, cpuset.parse(reserved), CPUOptions(**options))
    made.load()
    return made


async def give(made: StaticCPUManager, wanted: AgentPod, hint: Hint = ANYWHERE) -> dict[str, str]:
    for container in (*(wanted.spec.initContainers or ()), *wanted.spec.containers):
        await made.allocate(wanted, container, hint)
    return {name: cpuset.text_of(own) for name, own in made.exclusive(wanted.uid).items()}


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (pod(cpus("2")), 2),
        (pod(cpus("2000m")), 2),
        (pod(cpus("1500m")), 0),  # shares
        (pod(resources({"cpu": "2", "memory": "1Mi"}, {"cpu": "3", "memory": "1Mi"})), 0),  # Burstable
        (pod({}), 0),
        (
            pod(
                cpus("2"),
                resources={"limits": {"cpu": "2", "memory": "1Mi"}, "requests": {"cpu": "2", "memory": "1Mi"}},
            ),
            0,
        ),
    ],
)
def test_who_gets_cpus(tmp_path: Path, wanted: AgentPod, count: int) -> None:
    """Containers of Guaranteed pods that ask for whole CPUs; none where the pod as a whole declares resources."""
    assert exclusive_cpus(wanted, wanted.spec.containers[0]) == count
    assert manager(tmp_path).concerns(wanted) is bool(count)
    assert not CPUManager(tmp_path).concerns(wanted)


async def test_the_others_share_the_rest(tmp_path: Path) -> None:
    """Reserved CPUs are shared, and given to nobody; what a pod had is shared again when it has gone."""
    made = manager(tmp_path)
    first = pod(cpus("2"), meta={"uid": "u"})
    assert await give(made, first) == {"c0": "1,7"}
    assert cpuset.text_of(made.cpus_of("u", "c0")) == "1,7"
    assert cpuset.text_of(made.cpus_of("u", "other")) == "0,2-6,8-11"
    assert await give(made, first) == {"c0": "1,7"}  # asked again: the same
    made.release(PodUID("u"))
    assert (made.cpus_of("u", "c0"), made.holders()) == (TWO.all, frozenset())


async def test_none_says_nothing(tmp_path: Path) -> None:
    """By the policy none no container's CPUs are set."""
    made = CPUManager(tmp_path)
    made.load()
    await made.save()
    assert made.cpus_of("u", "c") == frozenset()


async def test_init_containers_hand_on(tmp_path: Path) -> None:
    """What ordinary init containers had is used again; sidecars keep theirs."""
    wanted = pod(
        cpus("4"),
        init=[cpus("2"), cpus("1", restartPolicy="Always"), cpus("2")],
        meta={"uid": "u"},
    )
    found = {name: cpuset.parse(text) for name, text in (await give(manager(tmp_path), wanted)).items()}
    assert found["i1"] < found["i0"]
    assert not found["c0"] & found["i1"]
    assert found["i2"] - found["i0"] < found["c0"]
    assert found["i0"] - found["i1"] < found["c0"]
    assert not found["c0"] & {0}


async def test_too_many(tmp_path: Path) -> None:
    """Refused with upstream's reason and text; a full machine counts what is free."""
    made = manager(tmp_path)
    await give(made, pod(cpus("8"), meta={"uid": "u"}))
    with pytest.raises(CannotAssign) as caught:
        await give(made, pod(cpus("4"), meta={"uid": "v"}))
    assert (caught.value.reason, str(caught.value)) == (
        "UnexpectedAdmissionError",
        "Allocate failed due to not enough cpus available to satisfy request: requested=4, available=3, "
        "which is unexpected",
    )


@pytest.mark.parametrize(
    ("taken", "count", "text"),
    [
        ("", "3", "SMT Alignment Error: requested 3 cpus not multiple cpus per core = 2"),
        (
            "8",
            "4",
            "SMT Alignment Error: not enough free physical CPUs: "
            "available physical CPUs = 2, requested CPUs = 4, CPUs per core = 2",
        ),
    ],
)
async def test_whole_cores_only(tmp_path: Path, taken: str, count: str, text: str) -> None:
    """full-pcpus-only: no core is shared by two pods; one that a reserved CPU is on is given to nobody."""
    made = manager(tmp_path, full_pcpus_only=True)
    if taken:
        await give(made, pod(cpus(taken), meta={"uid": "u"}))
    with pytest.raises(CannotAssign) as caught:
        await give(made, pod(cpus(count), meta={"uid": "v"}))
    assert (caught.value.reason, str(caught.value)) == ("SMTAlignmentError", text)


async def test_strict_reservation(tmp_path: Path) -> None:
    """No pod runs on reserved CPUs, also none of those that share."""
    made = manager(tmp_path, reserved="0,6", strict=True)
    assert cpuset.text_of(made.cpus_of("u", "c")) == "1-5,7-11"


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, "1-2,7-8"), ({"across_numa": True}, "1-2,7-8")],
)
async def test_the_nodes_of_a_hint_come_first(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    """And the rest comes from anywhere."""
    made = manager(tmp_path, **options)
    near = await give(made, pod(cpus("4"), meta={"uid": "u"}), Hint(nodes=frozenset({0})))
    assert near == {"c0": expected}
    far = await give(made, pod(cpus("3"), meta={"uid": "v"}), Hint(nodes=frozenset({0})))
    assert 6 in cpuset.parse(far["c0"])


async def test_hints(tmp_path: Path) -> None:
    """Every set of nodes that has enough; preferred where no fewer nodes would do on an empty machine."""
    made = manager(tmp_path)
    small, large = pod(cpus("4"), meta={"uid": "u"}), pod(cpus("8"), meta={"uid": "v"})
    one, other, both = frozenset({0}), frozenset({1}), frozenset({0, 1})
    assert made.hints(small, small.spec.containers) == {
        "cpu": [Hint(nodes=one), Hint(nodes=other), Hint(nodes=both, preferred=False)]
    }
    assert made.hints(large, large.spec.containers) == {"cpu": [Hint(nodes=both)]}
    await give(made, pod(cpus("6"), meta={"uid": "w"}))
    assert made.hints(small, small.spec.containers) == {"cpu": [Hint(nodes=one), Hint(nodes=both, preferred=False)]}
    await give(made, small)
    assert made.hints(small, small.spec.containers) == {"cpu": [Hint(nodes=one), Hint(nodes=both, preferred=False)]}
    assert made.hints(pod({}), pod({}).spec.containers) == {}


def test_hints_by_socket(tmp_path: Path) -> None:
    """align-by-socket: nodes of one socket are as good as one node."""
    topology = machine(sockets=2, nodes=2, cores=2)
    made = StaticCPUManager(tmp_path, topology, frozenset({0}), CPUOptions(align_by_socket=True))
    made.load()
    wanted = pod(cpus("4"))
    preferred = {item.nodes for item in (made.hints(wanted, wanted.spec.containers)["cpu"] or ()) if item.preferred}
    assert preferred == {frozenset({1}), frozenset({2}), frozenset({3}), frozenset({0, 1}), frozenset({2, 3})}


LARGE = machine(
    sockets=2, nodes=2, caches=2, cores=2
)  # 16 cores; node 0: 0-3,16-19 with caches 0-1,16-17 and 2-3,18-19


@pytest.mark.parametrize(
    ("options", "count", "node", "expected"),
    [
        ({}, "2", 0, "1,17"),  # a whole core before CPU 16, which is left of the reserved CPU's
        ({}, "6", None, "1-3,17-19"),  # of the node that is in use
        ({}, "8", None, "4-7,20-23"),  # a node that is whole
        ({"full_pcpus_only": True}, "4", 0, "1-2,17-18"),
        ({"by_cache": True}, "4", 0, "2-3,18-19"),  # one cache, which is whole
        ({"by_cache": True}, "3", 0, "1,16-17"),  # what is left of one
        ({"across_numa": True}, "10", None, "4-6,8-10,20-21,24-25"),  # five each, so that nodes stay evenly used
        ({"across_numa": True, "full_pcpus_only": True}, "12", None, "4-6,8-10,20-22,24-26"),
        ({"across_cores": True}, "4", 1, "4-7"),  # a CPU of each core of the hint's node
        ({"align_by_socket": True}, "14", 0, "1-7,17-23"),  # the other node of its socket before those of the other
        ({"strict": True}, "2", 0, "1,17"),
    ],
)
async def test_options(tmp_path: Path, options: dict[str, bool], count: str, node: int | None, expected: str) -> None:
    """On a machine of two sockets, four NUMA nodes, two caches each, with SMT; CPU 0 is reserved."""
    made = StaticCPUManager(tmp_path, LARGE, frozenset({0}), CPUOptions(**options))
    made.load()
    hint = Hint(nodes=frozenset({node})) if node is not None else ANYWHERE
    assert await give(made, pod(cpus(count), meta={"uid": "u"}), hint) == {"c0": expected}


async def test_after_a_restart(tmp_path: Path) -> None:
    """The next agent goes on with what was given."""
    made = manager(tmp_path)
    await give(made, pod(cpus("2"), meta={"uid": "u"}))
    await made.save()
    again = manager(tmp_path)
    assert again.exclusive("u") == made.exclusive("u")
    assert again.cpus_of("u", "x") == made.cpus_of("u", "x")


@pytest.mark.parametrize(
    ("reserved", "options", "why"),
    [
        ("1", {}, "not all reserved cpus are present in defaultCpuSet: reserved cpus: 1, default cpuset: 0,2-6,8-11"),
        ("0", {"strict": True}, "some of strictly reserved cpus are present in defaultCpuSet"),
    ],
)
async def test_a_state_that_does_not_fit(tmp_path: Path, reserved: str, options: dict[str, Any], why: str) -> None:
    """Other reserved CPUs, or held more strictly, than when the state was written."""
    made = manager(tmp_path)
    await give(made, pod(cpus("2"), meta={"uid": "u"}))
    await made.save()
    with pytest.raises(BadState, match=why):
        manager(tmp_path, reserved=reserved, **options)


async def test_a_machine_that_has_lost_cpus(tmp_path: Path) -> None:
    """The state names CPUs that are not there any more."""
    await manager(tmp_path).save()
    with pytest.raises(BadState, match="current set of available CPUs 0-7 doesn't match with CPUs in state 0-11"):
        StaticCPUManager(tmp_path, machine(cores=4), frozenset({0}), CPUOptions()).load()
