"""What the node is told of its pressures, and where its file systems are found to be."""

from pathlib import Path

from nodeagent.config.eviction import Signal
from nodeagent.config.kubelet import DEFAULT_EVICTION_HARD
from nodeagent.eviction.pressure import PressureWatch
from nodeagent.eviction.signals import Folders, Observation
from nodeagent.eviction.thresholds import Layout, Settings, thresholds
from nodeagent.node.state import NodeState


class World:
    """`memory`: what is left of 1 GiB; `disk`: of 1000 bytes, the same on all file systems; None: it cannot be read."""

    def __init__(self, folder: Path, state: NodeState) -> None:
        self.memory: int | None = 2**30
        self.disk: int | None = 1000
        self.now = 0.0
        self.found: Folders | None = None
        self.read_from: list[Folders] = []
        self.asked = 0
        self.guess = Folders(node=folder, images=folder, containers=folder)
        self.state = state
        self.watch = PressureWatch(
            self.state,
            thresholds(Settings(hard=DEFAULT_EVICTION_HARD)),
            memory_and_pids=self._memory,
            disks=self,
            folders=self._folders,
            first_guess=self.guess,
            transition_seconds=30.0,
            clock=lambda: self.now,
        )

    def _memory(self) -> dict[Signal, Observation]:
        return {} if self.memory is None else {Signal.MEMORY: Observation(available=self.memory, capacity=2**30)}

    async def read(self, folders: Folders) -> dict[Signal, Observation]:
        self.read_from.append(folders)
        if self.disk is None:
            return {}
        seen = Observation(available=self.disk, capacity=1000)
        return {Signal.NODEFS: seen, Signal.IMAGEFS: seen, Signal.CONTAINERFS: seen}

    async def _folders(self) -> Folders | None:
        self.asked += 1
        return self.found


async def test_the_node_does_not_waver(tmp_path: Path, state: NodeState) -> None:
    """True at once, and for the transition period longer than it is short; what cannot be read says nothing."""
    world, told = World(tmp_path, state), []
    for now, disk in ((0.0, 1000), (10.0, 0), (11.0, 1000), (40.0, 1000), (41.0, None), (100.0, 1000)):
        world.now, world.disk = now, disk
        await world.watch.look()
        told.append(world.state.pressures)
    short = ("DiskPressure",)
    assert told == [(), short, short, short, (), ()]


async def test_each_kind(tmp_path: Path, state: NodeState) -> None:
    """Several at once, in the order of the status."""
    world = World(tmp_path, state)
    world.memory, world.disk = 0, 0
    await world.watch.look()
    assert world.state.pressures == ("MemoryPressure", "DiskPressure")
    signals = [threshold.signal for threshold in world.watch.due()]
    assert signals[0] is Signal.MEMORY and set(signals[1:]) == {Signal.NODEFS, Signal.IMAGEFS, Signal.CONTAINERFS}


async def test_where_the_file_systems_are(tmp_path: Path, state: NodeState) -> None:
    """Guessed at the start, asked for until the runtime can say, and then no more."""
    world = World(tmp_path, state)
    await world.watch.look(first=True)
    assert (world.asked, world.watch.layout) == (0, Layout.SINGLE)
    await world.watch.look()
    world.found = Folders(node=tmp_path, images=Path("/proc"), containers=Path("/proc"))
    for _ in range(2):
        await world.watch.look()
    assert (world.asked, world.watch.layout) == (2, Layout.DEDICATED_IMAGES)
    assert world.read_from == [world.guess, world.guess, world.found, world.found]
    assert {t.amount.share for t in world.watch.thresholds if t.signal is Signal.CONTAINERFS} == {
        t.amount.share for t in world.watch.thresholds if t.signal is Signal.IMAGEFS
    }


async def test_the_distance(tmp_path: Path, state: NodeState) -> None:
    """To the first threshold; none where there is none, or nothing is known."""
    world = World(tmp_path, state)
    await world.watch.look()
    assert world.watch.distance_bytes(Signal.MEMORY) == 2**30 - 100 * 2**20
    assert world.watch.distance_bytes(Signal.PIDS) is None
    world.memory = None
    await world.watch.look()
    assert world.watch.distance_bytes(Signal.MEMORY) is None
