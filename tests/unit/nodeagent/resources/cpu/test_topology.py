"""nodeagent.resources.cpu.topology."""

from pathlib import Path

import pytest
from machines import machine, write_machine

from nodeagent.resources.cpu.topology import CPU, online_cpus, read_topology


@pytest.mark.parametrize(
    "shape",
    [
        {"sockets": 2, "nodes": 1, "cores": 3},
        {"sockets": 2, "nodes": 2, "caches": 2, "cores": 2},
        {"sockets": 1, "cores": 4, "threads": 1},
    ],
)
def test_a_machine_is_read_from_sys(tmp_path: Path, shape: dict[str, int]) -> None:
    """Sockets, nodes, caches, cores and their threads are told apart as the kernel shows them."""
    write_machine(tmp_path, machine(**shape))
    assert read_topology(tmp_path) == machine(**shape)
    assert online_cpus(tmp_path) == machine(**shape).all


def test_a_machine_that_tells_little(tmp_path: Path) -> None:
    """Without nodes, caches and cores every CPU is a core of its own, on the one node there is."""
    folder = tmp_path / "sys/devices/system/cpu"
    folder.mkdir(parents=True)
    (folder / "online").write_text("0,2\n")
    found = read_topology(tmp_path)
    assert found.cpus == {0: CPU(core=0, cache=0, node=0, socket=0), 2: CPU(core=2, cache=0, node=0, socket=0)}
    assert (found.cpus_per_core, found.nodes) == (1, frozenset({0}))


def test_this_machine() -> None:
    """What runs the tests can be read, too."""
    found = read_topology()
    assert found.all == online_cpus()
    assert found.cpus_per_core >= 1
