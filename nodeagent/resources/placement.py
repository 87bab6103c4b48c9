"""The topology manager: whether a container's resources are on NUMA nodes that the policy takes, and on which.

Source: docs/facts/node-resources.md 11.4.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.resources import cpuset
from nodeagent.resources.contract import ANYWHERE, CannotAssign, Hint, Hints
from nodeagent.resources.merging import Nodes, listed, merge, on_one_node

NONE, BEST_EFFORT, RESTRICTED, SINGLE = "none", "best-effort", "restricted", "single-numa-node"
REASON = "TopologyAffinityError"
MESSAGE = "Resources cannot be allocated with Topology locality"
_NODES = "sys/devices/system/node"

Distances = Mapping[int, Sequence[int]]  # by node: to each node, in their order


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """`nodes`: of the machine. `whole_pod`: one place for all of a pod's containers. `distances`: given where they count."""

    policy: str = NONE
    nodes: Nodes = frozenset()
    whole_pod: bool = False
    distances: Distances = field(default_factory=dict)

    @property
    def asks(self) -> bool:
        """Whether it wants to know any hints."""
        return self.policy != NONE

    def place(self, providers: Sequence[Hints]) -> Hint:
        """Of one container, or of a whole pod. Raises CannotAssign."""
        if not self.asks:
            return ANYWHERE
        hints = listed(providers)
        best = merge(on_one_node(hints) if self.policy == SINGLE else hints, self.nodes, self._spread)
        if not best.preferred and self.policy != BEST_EFFORT:
            raise CannotAssign(MESSAGE, REASON)
        if self.policy == SINGLE and best.nodes == self.nodes:
            return Hint(preferred=best.preferred)  # nobody needs a node: all of them are no place
        return best

    def _spread(self, nodes: Nodes) -> float:
        """The mean distance between two of the nodes, each to itself included."""
        if not self.distances:
            return 0.0
        order = sorted(self.distances)
        pairs = list(itertools.product(nodes, repeat=2))
        return sum(self.distances[one][order.index(other)] for one, other in pairs) / len(pairs)


def read_nodes(root: Path = Path("/")) -> Nodes:
    """NUMA nodes that are online; a machine that tells of none has one. Raises OSError, ValueError."""
    try:
        return cpuset.parse((root / _NODES / "online").read_text())
    except FileNotFoundError:
        return frozenset({0})


def read_distances(root: Path = Path("/")) -> Distances:
    """Raises OSError, ValueError."""
    return {
        node: [int(word) for word in (root / _NODES / f"node{node}" / "distance").read_text().split()]
        for node in read_nodes(root)
    }
