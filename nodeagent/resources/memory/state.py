"""Which memory which container has, in memory and in `memory_manager_state`.

The file is a kubelet's, checksum and all (docs/facts/node-resources.md 11.1).
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from nodeagent.podspec.pod import PodUID
from nodeagent.resources import checkpoint
from nodeagent.resources.checkpoint import BadState, Saver
from nodeagent.resources.memory.accounts import Accounts, Block, Room

FILE = "memory_manager_state"
Rooms = Mapping[int, Mapping[str, Room]]


class _Table(msgspec.Struct, rename="camel"):
    total: int
    system_reserved: int
    allocatable: int
    reserved: int
    free: int


class _Node(msgspec.Struct, rename="camel"):
    number_of_assignments: int
    memory_map: dict[str, _Table]
    cells: list[int]


class _Block(msgspec.Struct, rename="camel"):
    numa_affinity: list[int]
    type: str
    size: int


class _File(msgspec.Struct, rename="camel", kw_only=True):
    policy_name: str
    machine_state: dict[str, _Node] = {}
    entries: dict[str, dict[str, list[_Block]]] = {}
    checksum: int


def check_other_policy(path: Path, policy: str) -> None:
    """Raises BadState where the file, if there is one, is another policy's than this one, which keeps none."""
    data = checkpoint.read(path)
    if data is not None:
        checkpoint.check_policy(path, policy, checkpoint.decode(path, data, _File).policy_name)


class MemoryState:
    """Methods belong to the event loop."""

    def __init__(self, folder: Path, policy: str, rooms: Rooms) -> None:
        self.path = folder / FILE
        self._policy = policy
        self._rooms = rooms
        self._entries: dict[str, dict[str, tuple[Block, ...]]] = {}
        self._saver = Saver(self.path, self._snapshot)

    def load(self) -> None:
        """Nothing where there is no file. Raises BadState."""
        data = checkpoint.read(self.path)
        if data is None:
            self._saver.changed()
            return
        file = checkpoint.decode(self.path, data, _File)
        checkpoint.check_policy(self.path, self._policy, file.policy_name)
        try:
            good = file.checksum == checksum(file)
        except ValueError:
            good = False
        if not good:
            raise BadState(self.path, "checkpoint is corrupted")
        found = {
            int(node): {
                name: Room(total=it.total, system_reserved=it.system_reserved, allocatable=it.allocatable)
                for name, it in told.memory_map.items()
            }
            for node, told in file.machine_state.items()
        }
        if found != self._rooms:
            raise BadState(
                self.path, "the machine state of the file is not that of the machine and its reserved memory"
            )
        self._entries = {
            uid: {
                name: tuple(Block(nodes=frozenset(it.numa_affinity), resource=it.type, size=it.size) for it in blocks)
                for name, blocks in own.items()
            }
            for uid, own in file.entries.items()
        }

    async def save(self) -> None:
        """Raises OSError."""
        await self._saver.save()

    def accounts(self) -> Accounts:
        blocks = (block for own in self._entries.values() for listed in own.values() for block in listed)
        return Accounts(self._rooms, tuple(blocks))

    def of(self, uid: str) -> Mapping[str, tuple[Block, ...]]:
        """By container name."""
        return self._entries.get(uid, {})

    def uids(self) -> frozenset[PodUID]:
        return frozenset(PodUID(uid) for uid in self._entries)

    def set(self, uid: str, container: str, blocks: tuple[Block, ...]) -> None:
        self._entries.setdefault(uid, {})[container] = blocks
        self._saver.changed()

    def remove(self, uid: str) -> None:
        if self._entries.pop(uid, None) is not None:
            self._saver.changed()

    def _snapshot(self) -> _File:
        accounts = self.accounts()
        reserved = accounts.reserved()
        nodes = {
            str(node): _Node(
                accounts.assignments(node),
                {
                    name: _Table(
                        room.total,
                        room.system_reserved,
                        room.allocatable,
                        reserved[node][name],
                        room.allocatable - reserved[node][name],
                    )
                    for name, room in sorted(rooms.items())
                },
                sorted(accounts.cells(node)),
            )
            for node, rooms in sorted(self._rooms.items())
        }
        entries = {
            uid: {
                name: [_Block(sorted(block.nodes), block.resource, block.size) for block in blocks]
                for name, blocks in own.items()
            }
            for uid, own in self._entries.items()
        }
        file = _File(policy_name=self._policy, machine_state=nodes, entries=entries, checksum=0)
        file.checksum = checksum(file)
        return file


def checksum(file: _File) -> int:
    """Over the text that Go's dump of a kubelet's structure is. Raises ValueError for nodes that are no numbers."""
    nodes = " ".join(
        f"{key}:{_node_text(it)}" for key, it in sorted(file.machine_state.items(), key=lambda it: int(it[0]))
    )
    pods = " ".join(
        f"{uid}:map[{' '.join(f'{name}:{_blocks_text(own[name])}' for name in sorted(own))}]"
        for uid, own in sorted(file.entries.items())
    )
    return checkpoint.fnv1a(
        f"(*state.MemoryManagerCheckpoint){{PolicyName:(string){file.policy_name} "
        f"MachineState:(state.NUMANodeMap)map[{nodes}] Entries:(state.ContainerMemoryAssignments)map[{pods}] "
        "Checksum:(checksum.Checksum)0}"
    )


def _node_text(node: _Node) -> str:
    tables = " ".join(
        f"{name}:<*>{{TotalMemSize:(uint64){it.total} SystemReserved:(uint64){it.system_reserved} "
        f"Allocatable:(uint64){it.allocatable} Reserved:(uint64){it.reserved} Free:(uint64){it.free}}}"
        for name, it in sorted(node.memory_map.items())
    )
    return (
        f"<*>{{NumberOfAssignments:(int){node.number_of_assignments} "
        f"MemoryMap:(map[v1.ResourceName]*state.MemoryTable)map[{tables}] Cells:([]int){_numbers(node.cells)}}}"
    )


def _blocks_text(blocks: list[_Block]) -> str:
    texts = (
        f"{{NUMAAffinity:([]int){_numbers(it.numa_affinity)} Type:(v1.ResourceName){it.type} Size:(uint64){it.size}}}"
        for it in blocks
    )
    return f"[{' '.join(texts)}]"


def _numbers(values: list[int]) -> str:
    return f"[{' '.join(map(str, values))}]"
