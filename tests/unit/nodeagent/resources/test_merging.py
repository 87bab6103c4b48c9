"""nodeagent.resources.merging, as tables. docs/facts/node-resources.md 11.4."""

from collections.abc import Sequence

import pytest

from nodeagent.resources.contract import Hint
from nodeagent.resources.merging import listed, merge, on_one_node

ALL = frozenset({0, 1, 2, 3})


def yes(*nodes: int) -> Hint:
    return Hint(nodes=frozenset(nodes))


def no(*nodes: int) -> Hint:
    return Hint(nodes=frozenset(nodes), preferred=False)


ANY, NOWHERE = Hint(), Hint(preferred=False)


@pytest.mark.parametrize(
    ("hints", "best"),
    [
        ([], yes(0, 1, 2, 3)),
        ([[ANY]], yes(0, 1, 2, 3)),
        ([[NOWHERE]], no(0, 1, 2, 3)),
        ([[yes(1), yes(0), no(0, 1)]], yes(0)),  # the lowest
        ([[yes(0), yes(1)], [yes(1)]], yes(1)),
        ([[yes(0)], [yes(1)]], no(0, 1, 2, 3)),  # nothing in common
        ([[yes(0, 1)], [yes(0)]], no(0)),  # in common, but not the same
        ([[no(0, 1)], [yes(0)]], no(0)),
        ([[yes(0, 1), yes(2, 3)], [yes(2, 3), no(0, 1, 2, 3)]], yes(2, 3)),
        ([[yes(0), no(0, 1)], [ANY]], yes(0)),
        ([[no(0, 1), no(0, 1, 2)], [yes(0), yes(1), no(0, 1)]], no(0, 1)),  # as many as the largest need takes
        ([[yes(0, 1), no(0, 1, 2)], [no(0, 1, 2), no(0, 1, 2, 3)]], no(0, 1, 2)),
    ],
)
def test_the_best(hints: Sequence[Sequence[Hint]], best: Hint) -> None:
    """Preferred before not, few nodes before many, low ones before high ones."""
    assert merge(hints, ALL, lambda nodes: 0.0) == best


def test_close_nodes() -> None:
    """Of as many nodes those that are near each other, where that counts."""
    hints = [[yes(0, 1), yes(0, 3)]]
    assert merge(hints, ALL, lambda nodes: 0.0) == yes(0, 1)
    assert merge(hints, ALL, lambda nodes: 1.0 if nodes == {0, 3} else 2.0) == yes(0, 3)


def test_providers_as_lists() -> None:
    """Who says nothing, or does not care, takes any; what can be had nowhere is preferred nowhere."""
    assert listed([{}, {"cpu": None}, {"a": [yes(0)], "b": []}]) == [[ANY], [ANY], [yes(0)], [NOWHERE]]


def test_one_node_alone() -> None:
    """What takes more than one node, or is not preferred, is no hint."""
    assert on_one_node([[yes(0), no(1), yes(0, 1), ANY, NOWHERE]]) == [[yes(0), ANY]]
