"""What the managers of CPUs, memory and topology refuse when they see the machine: one line, with the field."""

from pathlib import Path
from typing import Any, cast

import pytest
from configured import config
from machines import machine, write_machine

from nodeagent.assembly import resources
from nodeagent.assembly.running import Scope
from nodeagent.errors import Misconfigured
from nodeagent.folders import Folders
from nodeagent.resources.cpu.topology import Topology, read_topology

NO_SCOPE = cast("Scope", None)


def on(monkeypatch: pytest.MonkeyPatch, root: Path, topology: Topology) -> None:
    """The machine is this one."""
    write_machine(root, topology)
    nodes = root / "sys/devices/system/node"
    (nodes / "online").write_text(f"0-{len(topology.nodes) - 1}\n")
    monkeypatch.setattr(resources, "read_topology", lambda: read_topology(root))
    monkeypatch.setattr(resources, "read_nodes", lambda: topology.nodes)


def folders(root: Path) -> Folders:
    return cast("Folders", type("At", (), {"root": root})())


STATIC = {"cpuManagerPolicy": "static"}


@pytest.mark.parametrize(
    ("kubelet", "text"),
    [
        (
            {"kubeReserved": {"cpu": "12500m"}},
            "systemReserved.cpu, kubeReserved.cpu: not enough cpus available to satisfy request: requested=13, available=12",
        ),
        (
            {
                "reservedSystemCPUs": "0",
                "cpuManagerPolicyOptions": {"align-by-socket": "true"},
                "featureGates": {"CPUManagerPolicyAlphaOptions": True},
            },
            "cpuManagerPolicyOptions: align-by-socket: there are more sockets than NUMA nodes",
        ),
    ],
)
async def test_cpus_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubelet: dict[str, Any], text: str
) -> None:
    """More reserved than there are, and an option that the machine's sockets exclude."""
    found = machine(sockets=2, cores=3)
    if "align" in text:
        found = Topology(
            {number: type(cpu)(core=cpu.core, cache=0, node=0, socket=cpu.socket) for number, cpu in found.cpus.items()}
        )
    on(monkeypatch, tmp_path, found)
    with pytest.raises(Misconfigured) as caught:
        await resources.start_cpu_manager(NO_SCOPE, config(tmp_path, **STATIC, **kubelet), folders(tmp_path))
    assert str(caught.value) == text


async def test_reserved_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is reserved in parts of a CPU is rounded up, and taken from cores that lie together."""
    on(monkeypatch, tmp_path, machine(sockets=2, cores=3))
    reserves = {"kubeReserved": {"cpu": "500m"}, "systemReserved": {"cpu": "600m"}}
    manager = await resources.start_cpu_manager(NO_SCOPE, config(tmp_path, **STATIC, **reserves), folders(tmp_path))
    assert resources.cpuset.text_of(manager.allocatable) == "1-5,7-11"


def test_more_numa_nodes_than_are_bearable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine are too many for any policy that looks at them, unless the operator says otherwise; with none they do not matter."""
    on(monkeypatch, tmp_path, machine(sockets=1, nodes=9, cores=1))
    best = {"topologyManagerPolicy": "best-effort"}
    with pytest.raises(
        Misconfigured, match=r"^topologyManagerPolicy: unsupported on machines with more than 8 NUMA Nodes"
    ):
        resources.placement(config(tmp_path, **best))
    more = {**best, "topologyManagerPolicyOptions": {"max-allowable-numa-nodes": "9"}}
    assert len(resources.placement(config(tmp_path, **more)).nodes) == 9
    assert not resources.placement(config(tmp_path)).asks


async def test_reserved_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a NUMA node that there is not, and another sum than Node Allocatable keeps back."""
    monkeypatch.setattr(resources, "read_totals", lambda: {0: {"memory": 4 << 30}})
    host = cast("Any", type("It", (), {"machine": type("M", (), {"memory_bytes": 4 << 30})()})())

    async def refused(node: int, size: str) -> str:
        reserved = [{"numaNode": node, "limits": {"memory": size}}]
        made = config(tmp_path, memoryManagerPolicy="Static", reservedMemory=reserved)
        with pytest.raises(Misconfigured) as caught:
            await resources.start_memory_manager(NO_SCOPE, made, host, folders(tmp_path))
        return str(caught.value)

    assert await refused(5, "100Mi") == (
        "reservedMemory: the reserved memory configuration references a NUMA node 5 that does not exist"
    )
    assert await refused(0, "1Gi") == (
        'reservedMemory: the total amount "1073741824" of type "memory" is not equal to the value "104857600" '
        "determined by Node Allocatable feature"
    )
