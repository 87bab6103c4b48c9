"""nodeagent.resources.cpu.picking: docs/facts/node-resources.md 11.2, as tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import machine

from nodeagent.resources import cpuset
from nodeagent.resources.cpu.picking import NotEnough, pick, pick_across_nodes
from nodeagent.resources.cpu.topology import CPU, Topology

ONE = machine(cores=4)  # cores (0,4) (1,5) (2,6) (3,7)
TWO = machine(sockets=2, cores=3)  # node 0: 0-2,6-8; node 1: 3-5,9-11
ADJACENT = Topology({number: CPU(core=number // 2 * 2, cache=0, node=0, socket=0) for number in range(8)})
CACHES = machine(caches=3, cores=2)  # caches 0-1,6-7; 2-3,8-9; 4-5,10-11


@pytest.mark.parametrize(
    ("topology", "free", "count", "expected"),
    [
        (ONE, "0-7", 1, "0"),  # a thread of the first core
        (ONE, "0-7", 2, "0,4"),  # a whole core
        (ONE, "0-7", 3, "0-1,4"),  # a core, and a thread
        (ONE, "1-7", 1, "4"),  # the core that is in use already
        (ONE, "1-7", 2, "1,5"),  # a whole core before two halves
        (ONE, "1-2,4,6-7", 5, "1-2,4,6-7"),
        (TWO, "0-11", 6, "0-2,6-8"),  # a whole node
        (TWO, "0-11", 8, "0-3,6-9"),  # a whole node, and a core
        (TWO, "1-11", 6, "3-5,9-11"),  # the node that is whole
        (TWO, "1-11", 2, "1,7"),  # from the node that is in use already
        (TWO, "0-2,4-11", 4, "4-5,10-11"),
    ],
)
def test_packed(topology: Topology, free: str, count: int, expected: str) -> None:
    """Whole groups first, then what is left of the fullest used."""
    assert cpuset.text_of(pick(topology, cpuset.parse(free), count)) == expected


@pytest.mark.parametrize(
    ("free", "count", "expected"),
    [
        ("0-11", 4, "0-1,6-7"),  # a whole cache
        ("0-11", 6, "0-2,6-8"),  # a whole one, and the rest within one
        ("1-11", 3, "1,6-7"),  # the smallest that has as many
        ("1-11", 4, "2-3,8-9"),
    ],
)
def test_by_cache(free: str, count: int, expected: str) -> None:
    """CPUs behind one last-level cache before those behind two."""
    assert cpuset.text_of(pick(CACHES, cpuset.parse(free), count, by_cache=True)) == expected


@pytest.mark.parametrize(
    ("free", "count", "group", "expected"),
    [
        ("0-11", 4, 1, "0-1,6-7"),  # one node holds them
        ("0-11", 8, 1, "0-1,3-4,6-7,9-10"),  # four each
        ("0-11", 10, 2, "0-4,6-10"),  # whole cores, the odd one to the first
        ("0-1,6-7,3-5,9-11", 8, 1, "0-1,3-4,6-7,9-10"),
        ("0,3-5,9-11", 7, 1, "0,3-5,9-11"),  # no equal parts: packed
    ],
)
def test_across_nodes(free: str, count: int, group: int, expected: str) -> None:
    """Equal parts from as few nodes as can hold them."""
    assert cpuset.text_of(pick_across_nodes(TWO, cpuset.parse(free), count, group=group)) == expected


@pytest.mark.parametrize(
    ("topology", "free", "count", "expected"),
    [
        (ONE, "0-7", 3, "0-2"),  # a CPU of each of three cores
        (ONE, "0-7", 5, "0-4"),  # a second one when every core has given one
        (ONE, "1-7", 4, "1-4"),
        (ONE, "0-7", 8, "0-7"),
        (TWO, "0-11", 6, "0-2,6-8"),  # whole nodes all the same
        (TWO, "0-11", 8, "0-4,6-8"),
        (TWO, "1-11", 2, "1-2"),  # from the socket that is in use already
        (ADJACENT, "0-7", 3, "0,2,4"),  # whatever the siblings' numbers are
    ],
)
def test_across_cores(topology: Topology, free: str, count: int, expected: str) -> None:
    """One CPU of each core before a second one of any."""
    assert cpuset.text_of(pick(topology, cpuset.parse(free), count, across_cores=True)) == expected


SOCKETS_OF_TWO = machine(sockets=2, nodes=2, cores=2)  # nodes 0-1,8-9; 2-3,10-11 (socket 0); 4-5,12-13; 6-7,14-15
NODES_OF_TWO = Topology(  # two sockets on the one node there is: 0,2,4,6 and 1,3,5,7
    {number: CPU(core=number % 4, cache=number % 2, node=0, socket=number % 2) for number in range(8)}
)


@pytest.mark.parametrize(
    ("topology", "free", "count", "expected"),
    [
        (SOCKETS_OF_TWO, "0-15", 8, "0-3,8-11"),  # a whole socket: two whole nodes
        (SOCKETS_OF_TWO, "1-15", 4, "2-3,10-11"),  # the node that is whole
        (SOCKETS_OF_TWO, "0-1,4-15", 3, "0-1,8"),  # what is left over, of the socket that is in use
        (SOCKETS_OF_TWO, "0,4,9,12", 2, "4,12"),  # a whole core before two halves
        (NODES_OF_TWO, "0-7", 4, "0,2,4,6"),  # the sockets are the smaller groups
        (NODES_OF_TWO, "1-7", 4, "1,3,5,7"),
    ],
)
def test_sockets_of_nodes_and_nodes_of_sockets(topology: Topology, free: str, count: int, expected: str) -> None:
    """Whichever of both holds the other."""
    assert cpuset.text_of(pick(topology, cpuset.parse(free), count)) == expected


@given(st.frozensets(st.integers(0, 11), min_size=1), st.data())
def test_always_as_many_and_only_free_ones(free: frozenset[int], data: st.DataObject) -> None:
    """Whatever is free, whichever way."""
    count = data.draw(st.integers(1, len(free)))
    for found in (
        pick(TWO, free, count),
        pick(CACHES, free, count, by_cache=True),
        pick(TWO, free, count, across_cores=True),
        pick_across_nodes(TWO, free, count),
        pick_across_nodes(TWO, free, count, group=2),
    ):
        assert len(found) == count
        assert found <= free


def test_too_few() -> None:
    """With upstream's words."""
    with pytest.raises(NotEnough, match=r"^not enough cpus available to satisfy request: requested=3, available=2$"):
        pick(ONE, frozenset({1, 2}), 3)
    with pytest.raises(NotEnough):
        pick_across_nodes(ONE, frozenset({1, 2}), 3)
