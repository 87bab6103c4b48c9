"""What each NUMA node has of memory and huge pages, and who has what of it. Pure.

A node that serves a container alone serves none together with others, and the other way: `Accounts.cells` of nodes are the
nodes that serve together. Source: docs/facts/node-resources.md 11.3.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Nodes = frozenset[int]
Sizes = Mapping[str, int]  # bytes by resource: memory, hugepages-…


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Of one resource on one node, in bytes. `allocatable`: what containers can have."""

    total: int
    system_reserved: int
    allocatable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """So many bytes of a resource, from these nodes."""

    nodes: Nodes
    resource: str
    size: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """`rooms` by node and resource; `blocks`: of all containers."""

    rooms: Mapping[int, Mapping[str, Room]]
    blocks: tuple[Block, ...] = field(default=())

    def assignments(self, node: int) -> int:
        return sum(node in block.nodes for block in self.blocks)

    def cells(self, node: int) -> Nodes:
        """The nodes that the node serves together with; itself where it serves nobody."""
        return next((block.nodes for block in self.blocks if node in block.nodes), frozenset({node}))

    def reserved(self) -> dict[int, dict[str, int]]:
        """Bytes that are given, by node and resource: of nodes that serve together the lowest first."""
        found = {node: dict.fromkeys(rooms, 0) for node, rooms in self.rooms.items()}
        for block in self.blocks:
            left = block.size
            for node in sorted(block.nodes):
                room = self.rooms.get(node, {}).get(block.resource)
                if room is not None:
                    taken = min(left, room.allocatable - found[node][block.resource])
                    found[node][block.resource] += taken
                    left -= taken
        return found

    def has(self, nodes: Nodes, wanted: Sizes) -> bool:
        """Whether the nodes together are large enough, were nothing given."""
        return all(
            sum(room.allocatable for node in nodes if (room := self._room(node, name)) is not None) >= size
            for name, size in wanted.items()
        )

    def has_free(self, nodes: Nodes, wanted: Sizes, again: Iterable[Block] = ()) -> bool:
        """Whether they have as much left. `again`: blocks that may be used once more."""
        reserved = self.reserved()
        for name, size in wanted.items():
            free = sum(
                room.allocatable - reserved[node][name]
                for node in nodes
                if (room := self._room(node, name)) is not None
            )
            free += sum(block.size for block in again if block.resource == name and block.nodes <= nodes)
            if free < size:
                return False
        return True

    def violates(self, nodes: Nodes) -> bool:
        """Whether one of the nodes serves others than these together already."""
        return any(self.assignments(node) and self.cells(node) != nodes for node in nodes)

    def _room(self, node: int, resource: str) -> Room | None:
        return self.rooms.get(node, {}).get(resource)
