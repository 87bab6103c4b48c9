"""nodeagent.resources.cpu.picking: docs/facts/node-resources.md 11.2, as tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import machine

from nodeagent.resources import cpuset
from nodeagent.resources.cpu.picking import NotEnough, pick, pick_across_nodes

ONE = machine(cores=4)  # cores (0,4) (1,5) (2,6) (3,7)
TWO = machine(sockets=2, cores=3)  # node 0: 0-2,6-8; node 1: 3-5,9-11
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
def test_packed(topology: object, free: str, count: int, expected: str) -> None:
    """Whole groups first, then what is left of the fullest used."""
    assert cpuset.text_of(pick(topology, cpuset.parse(free), count)) == expected  # type: ignore[arg-type]


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


@given(st.frozensets(st.integers(0, 11), min_size=1), st.data())
def test_always_as_many_and_only_free_ones(free: frozenset[int], data: st.DataObject) -> None:
    """Whatever is free, whichever way."""
    count = data.draw(st.integers(1, len(free)))
    for found in (
        pick(TWO, free, count),
        pick(CACHES, free, count, by_cache=True),
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
