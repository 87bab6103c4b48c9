"""nodeagent.resources.memory.nodes: docs/facts/node-resources.md 11.3."""

from fractions import Fraction
from pathlib import Path

import pytest

from nodeagent.resources.memory.accounts import Room
from nodeagent.resources.memory.nodes import BadReservation, check_sums, read_totals, rooms

MI = 1 << 20


def test_a_machine_is_read_from_sys(tmp_path: Path) -> None:
    """Memory and huge pages of each node."""
    for node, pages in ((0, 3), (1, 0)):
        folder = tmp_path / f"sys/devices/system/node/node{node}"
        (folder / "hugepages/hugepages-2048kB").mkdir(parents=True)
        (folder / "hugepages/hugepages-2048kB/nr_hugepages").write_text(f"{pages}\n")
        (folder / "meminfo").write_text(f"\nNode {node} MemTotal:    1024 kB\nNode {node} MemFree:  10 kB\n")
    (tmp_path / "sys/devices/system/node/online").write_text("0-1\n")
    assert read_totals(tmp_path) == {0: {"memory": MI, "hugepages-2Mi": 6 * MI}, 1: {"memory": MI, "hugepages-2Mi": 0}}


def test_what_containers_can_have() -> None:
    """Less what is reserved; of memory less huge pages."""
    found = rooms({0: {"memory": 10 * MI, "hugepages-2Mi": 4 * MI}}, {0: {"memory": MI}})
    assert found == {
        0: {
            "memory": Room(total=10 * MI, system_reserved=MI, allocatable=5 * MI),
            "hugepages-2Mi": Room(total=4 * MI, system_reserved=0, allocatable=4 * MI),
        }
    }


def test_reservations_that_cannot_be() -> None:
    """A node that there is not, and more than a node has."""
    with pytest.raises(BadReservation, match="references a NUMA node 3 that does not exist"):
        rooms({0: {"memory": MI}}, {3: {"memory": 1}})
    with pytest.raises(BadReservation, match="more memory is reserved of NUMA node 0 than it has"):
        rooms({0: {"memory": MI}}, {0: {"memory": 2 * MI}})


@pytest.mark.parametrize(
    ("reserved", "text"),
    [
        ({0: {"memory": 5}}, 'the total amount "5" of type "memory" is not equal to the value "7"'),
        (
            {0: {"memory": 7, "hugepages-2Mi": 1}},
            'the total amount "1" of type "hugepages-2Mi" is not equal to the value "0"',
        ),
        ({}, 'the total amount "0" of type "memory" is not equal to the value "7"'),
    ],
)
def test_sums(reserved: dict[int, dict[str, int]], text: str) -> None:
    """Exactly what Node Allocatable keeps back, over all nodes."""
    check_sums({0: {"memory": 3}, 1: {"memory": 4}}, {"memory": Fraction(7)})
    with pytest.raises(BadReservation, match=text):
        check_sums(reserved, {"memory": Fraction(7)})
