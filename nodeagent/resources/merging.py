"""One answer of many hints: on which NUMA nodes all that a container needs can be had together. Pure.

Source: docs/facts/node-resources.md 11.4.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence

from nodeagent.resources.contract import Hint, Hints

Nodes = frozenset[int]
# What is told of a set of nodes beside its size, the smaller the better: how far apart they are, where that counts.
Spread = Callable[[Nodes], float]


def merge(hints: Sequence[Sequence[Hint]], nodes: Nodes, spread: Spread) -> Hint:
    """The best of all ways to take one hint of each list; all nodes, and not preferred, where there is none.

    `nodes`: of the machine. A hint without nodes goes with any.
    """
    best: Hint | None = None
    at_least = max((min(sizes) for each in hints if (sizes := _sizes(each))), default=0)
    for chosen in itertools.product(*hints):
        found = _together(chosen, nodes)
        if found.nodes and (best is None or _rank(found, at_least, spread) < _rank(best, at_least, spread)):
            best = found
    return best or Hint(nodes=nodes, preferred=False)


def listed(providers: Iterable[Hints]) -> list[list[Hint]]:
    """A list for each resource: who does not care takes any node, what can be had nowhere is not preferred anywhere."""
    found: list[list[Hint]] = []
    for hints in providers:
        if not hints:
            found.append([Hint()])
        found += [[Hint()] if each is None else list(each) or [Hint(preferred=False)] for each in hints.values()]
    return found


def on_one_node(hints: Sequence[Sequence[Hint]]) -> list[list[Hint]]:
    """Only preferred ones of one node, or of any."""
    return [
        [hint for hint in each if hint.preferred and (hint.nodes is None or len(hint.nodes) == 1)] for each in hints
    ]


def _together(chosen: Sequence[Hint], nodes: Nodes) -> Hint:
    """The nodes that all have in common; preferred where all are, and name the same."""
    named = [hint.nodes for hint in chosen if hint.nodes is not None]
    same = all(each == named[0] for each in named)
    return Hint(nodes=nodes.intersection(*named), preferred=same and all(hint.preferred for hint in chosen))


def _rank(hint: Hint, at_least: int, spread: Spread) -> tuple[object, ...]:
    """The smaller the better. Of those that are not preferred the one whose size is what the largest need takes at least."""
    assert hint.nodes is not None
    size = len(hint.nodes)
    order = (size, spread(hint.nodes), sorted(hint.nodes))
    if hint.preferred:
        return (0, *order)
    if size >= at_least:
        return (1, *order)
    return (2, -size, *order[1:])


def _sizes(hints: Sequence[Hint]) -> list[int]:
    return [len(hint.nodes) for hint in hints if hint.nodes is not None]
