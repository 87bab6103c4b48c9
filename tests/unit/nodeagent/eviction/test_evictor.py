"""What is done when the node is short of something, in which order; and what it learns of it."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from agent_pods import agent_pod
from typing_extensions import override

from nodeagent.api.events import Events, NodeEvents
from nodeagent.config.eviction import Signal
from nodeagent.eviction import evictor as evictor_module
from nodeagent.eviction.evictor import Evictor, Reclaim, grace_seconds, reclaimable
from nodeagent.eviction.local_storage import LocalStorage
from nodeagent.eviction.pressure import PressureWatch
from nodeagent.eviction.signals import Folders, Observation
from nodeagent.eviction.thresholds import Layout, Settings, Threshold, thresholds
from nodeagent.eviction.usage import ContainerUsage, PodUsage
from nodeagent.node.state import NodeState
from nodeagent.pods.admission.gate import KillError
from nodeagent.pods.rules.model import Termination
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.stats.disk_usage import DiskUsage
from runtimes.errors import Unavailable


class World(Events):
    """A node with 1000 of everything, its pods, and a diary of what is done. `used`: memory or disk, by pod's name."""

    def __init__(self, folder: Path, state: NodeState, **settings: Any) -> None:
        self.diary: list[str] = []
        self.annotations: list[Any] = []
        self.terminations: list[Termination] = []
        self.left = {Signal.MEMORY: 1000, Signal.NODEFS: 1000, Signal.PIDS: 1000}
        self.used: dict[str, int] = {}
        self.freed_by_reclaim = 0
        self.reclaim_error: Exception | None = None
        self.stuck = False
        self.takes_its_time = False
        self.hurried = asyncio.Event()
        self.while_waiting: list[int] = []  # memory that is left, wait by wait
        self.waits = asyncio.Event()
        self.now = 0.0
        self.pods: list[AgentPod] = []
        self.state = state
        self.watch = PressureWatch(
            self.state,
            thresholds(Settings(**({"hard": {"memory.available": "100", "nodefs.available": "10%"}} | settings))),
            memory_and_pids=lambda: self._seen(Signal.MEMORY, Signal.PIDS),
            disks=self,
            folders=self._folders,
            first_guess=Folders(node=folder, images=folder, containers=folder),
            transition_seconds=30.0,
            clock=lambda: self.now,
        )
        self.evictor = Evictor(
            self.watch,
            self,
            self,
            self,
            NodeEvents(self, "n"),
            Reclaim(dead_containers=self._remove_dead_containers, unused_images=self._delete_images),
            self,
            maximum_grace_seconds=20,
            counted=lambda signal, age: self.diary.append(f"counted {signal}, {age:g} s old"),
            clock=lambda: self.now,
        )

    def add(self, name: str, used: int, **spec: Any) -> None:
        body = {"containers": [{"name": "c"}], **spec}
        self.pods.append(agent_pod({"metadata": {"name": name, "uid": name}, "spec": body}))
        self.used[name] = used

    async def pass_once(self) -> bool:
        await self.watch.look()
        return await self.evictor.act()

    def _seen(self, *signals: Signal) -> dict[Signal, Observation]:
        return {signal: Observation(available=self.left[signal], capacity=1000) for signal in signals}

    async def _folders(self) -> None:
        return None

    async def _remove_dead_containers(self) -> None:
        self.diary.append("remove dead containers")
        self.left[Signal.NODEFS] += self.freed_by_reclaim

    async def _delete_images(self) -> None:
        self.diary.append("delete images")
        if self.reclaim_error is not None:
            raise self.reclaim_error

    # disks and usages
    async def read(self, what: Any, *, disks: bool = False) -> Any:
        if isinstance(what, Folders):
            return self._seen(Signal.NODEFS)
        return [
            PodUsage(
                pod=pod,
                memory_bytes=self.used[pod.uid],  # of the pod alone: no container is blamed
                containers={"c": ContainerUsage(layer=DiskUsage(self.used[pod.uid]))},
            )
            for pod in what
        ]

    # pods
    def active_pods(self) -> list[AgentPod]:
        return list(self.pods)

    async def end(self, pod: AgentPod, termination: Termination) -> None:
        self.diary.append(f"end {pod.metadata.name}")
        self.terminations.append(termination)
        if self.takes_its_time and not termination.at_once:
            await self.hurried.wait()
        if self.stuck:
            raise KillError("it hangs")
        self.pods.remove(pod)

    def terminate(self, uid: PodUID, termination: Termination) -> bool:
        self.diary.append(f"hurry {uid}")
        self.terminations.append(termination)
        self.hurried.set()
        return True

    async def released(self, uid: PodUID) -> None:
        if any(pod.uid == uid for pod in self.pods):
            await asyncio.Event().wait()

    async def remove_dead(self) -> None:
        raise AssertionError

    # wake-ups
    async def wait(self, seconds: float) -> None:
        self.diary.append(f"wait {seconds:g}")
        if self.while_waiting:
            self.left[Signal.MEMORY] = self.while_waiting.pop(0)
            return
        self.waits.set()
        await asyncio.sleep(3600)

    @override
    def event(self, ref: Any, type: str, reason: str, message: str, **more: Any) -> None:
        self.diary.append(f"{type} {reason}: {message}")
        self.annotations.append(more.get("annotations"))


MET = "Warning EvictionThresholdMet: Attempting to reclaim"


async def test_nothing_is_short(tmp_path: Path, state: NodeState) -> None:
    """Then nothing is done, and nothing said."""
    world = World(tmp_path, state)
    world.add("a", 900)
    assert (await world.pass_once(), world.diary, world.state.pressures) == (False, [], ())


async def test_memory(tmp_path: Path, state: NodeState) -> None:
    """The node's event, then the pod's, with what it is blamed for; it has failed, is disrupted, and is killed at once."""
    world = World(tmp_path, state)
    world.add("small", 10)
    world.add("large", 800)
    world.left[Signal.MEMORY] = 99
    assert await world.pass_once()
    message = "The node was low on resource: memory. Threshold quantity: 100, available: 99. "
    assert world.diary == [
        f"{MET} memory",
        f"Warning Evicted: {message}",
        "counted memory.available, 0 s old",
        "end large",
    ]
    assert world.annotations[-1]["starved_resource"] == "memory"
    assert world.terminations == [
        Termination(
            grace_seconds=1, reason="Evicted", message=message, failed=True, disruption_message=message, at_once=True
        )
    ]
    assert world.state.pressures == ("MemoryPressure",)


async def test_one_at_a_time(tmp_path: Path, state: NodeState) -> None:
    """Then the node is looked at again: it may be enough."""
    world = World(tmp_path, state)
    world.add("a", 500)
    world.add("b", 800)
    world.left[Signal.MEMORY] = 0
    assert await world.pass_once()
    world.left[Signal.MEMORY] = 500
    assert not await world.pass_once()
    assert [pod.metadata.name for pod in world.pods] == ["a"]


async def test_a_soft_threshold(tmp_path: Path, state: NodeState) -> None:
    """The condition at once, the eviction when its grace is over, with the shorter of the pod's time and the configured one."""
    soft = {"memory.available": "500"}
    world = World(tmp_path, state, hard={}, soft=soft, soft_grace_seconds={"memory.available": 60.0})
    world.add("a", 500, terminationGracePeriodSeconds=7)
    world.left[Signal.MEMORY] = 300
    assert not await world.pass_once()
    assert (world.state.pressures, world.diary) == (("MemoryPressure",), [])
    world.now = 60.0
    assert await world.pass_once()
    assert [(item.grace_seconds, item.at_once) for item in world.terminations] == [(7, False)]


async def test_a_hard_threshold_hurries_a_soft_victim(tmp_path: Path, state: NodeState) -> None:
    """While a victim has time for its end the node is looked at; when it cannot wait, the same pod is killed."""
    soft = {"memory.available": "500"}
    world = World(tmp_path, state, soft=soft, soft_grace_seconds={"memory.available": 0.0})
    world.add("a", 500, terminationGracePeriodSeconds=60)
    world.add("b", 400)
    world.left[Signal.MEMORY], world.takes_its_time, world.while_waiting = 300, True, [200, 99]
    assert await world.pass_once()
    assert world.diary[3:] == ["end a", "wait 0.1", "wait 0.1", "hurry a"]
    first, second = world.terminations
    assert (first.grace_seconds, first.at_once) == (20, False)
    assert second == dataclasses.replace(first, grace_seconds=1, at_once=True)
    assert [pod.metadata.name for pod in world.pods] == ["b"]


async def test_a_soft_victim_that_ends_in_time(tmp_path: Path, state: NodeState) -> None:
    """Then nobody waits any more for the node to get worse."""
    world = World(tmp_path, state, soft={"memory.available": "500"}, soft_grace_seconds={"memory.available": 0.0})
    world.add("a", 500)
    world.left[Signal.MEMORY] = 300
    tasks = asyncio.all_tasks()
    assert await world.pass_once()
    assert not any(line.startswith("hurry") for line in world.diary)
    assert asyncio.all_tasks() == tasks


async def test_a_disk(tmp_path: Path, state: NodeState) -> None:
    """What is nobody's goes first; where that is not enough, a pod."""
    world = World(tmp_path, state)
    world.add("a", 500)
    world.left[Signal.NODEFS] = 50
    world.freed_by_reclaim = 50
    assert not await world.pass_once()
    reclaim = [f"{MET} ephemeral-storage", "remove dead containers", "delete images"]
    assert world.diary == reclaim
    world.left[Signal.NODEFS], world.freed_by_reclaim = 50, 10
    assert await world.pass_once()
    assert world.diary[3:6] == reclaim and world.diary[-1] == "end a"


async def test_critical_pods_alone(tmp_path: Path, state: NodeState) -> None:
    """Nobody can go: it is not tried again at once, nor told again and again; later it is."""
    world = World(tmp_path, state)
    world.add("critical", 500, priority=2_000_000_000)
    world.left[Signal.MEMORY] = 0
    for world.now in (0.0, 0.1, 9.9):
        assert not await world.pass_once()
    assert world.diary == [f"{MET} memory"]
    world.add("other", 5)
    world.now = 10.0
    assert await world.pass_once()
    assert world.diary[-1] == "end other"


async def test_one_that_hangs_is_not_evicted_twice(
    tmp_path: Path, state: NodeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as evicted; while it goes, another one may have to."""
    monkeypatch.setattr(evictor_module, "RELEASE_SECONDS", 0.0)
    world = World(tmp_path, state)
    world.add("a", 500)
    world.add("b", 800)
    world.left[Signal.MEMORY], world.stuck = 0, True
    assert await world.pass_once() and await world.pass_once() and not await world.pass_once()
    assert [line for line in world.diary if line.startswith("end")] == ["end b", "end a"]


async def test_images_that_cannot_be_removed(tmp_path: Path, state: NodeState) -> None:
    """A runtime that is down holds up no eviction."""
    world = World(tmp_path, state)
    world.add("a", 500)
    world.left[Signal.NODEFS] = 50
    world.reclaim_error = Unavailable("the runtime is down")
    assert await world.pass_once()
    assert world.diary[-1] == "end a"


async def test_a_mistake_ends_no_agent(tmp_path: Path, state: NodeState, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the node is looked at again later."""
    world = World(tmp_path, state)
    world.add("a", 500, containers=[{"name": "c", "resources": {"requests": {"memory": "nonsense"}}}])
    world.left[Signal.MEMORY] = 0
    running = asyncio.create_task(world.evictor.run())
    async with asyncio.timeout(30):
        await world.waits.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert world.diary[-1] == "wait 10"
    assert "will try again" in caplog.text


async def test_the_loop(tmp_path: Path, state: NodeState) -> None:
    """After an eviction it looks again at once, then as late as the signals allow."""
    world = World(tmp_path, state)
    world.add("a", 500)
    world.left[Signal.MEMORY] = 99
    running = asyncio.create_task(world.evictor.run())
    async with asyncio.timeout(30):
        await world.waits.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert world.diary[-3:] == ["end a", f"{MET} memory", "wait 0.1"]


ALL, NONE = (True, True), (False, False)


@pytest.mark.parametrize(
    ("layout", "nodefs", "imagefs", "containerfs"),
    [
        (Layout.SINGLE, ALL, ALL, ALL),
        (Layout.DEDICATED_IMAGES, NONE, ALL, ALL),
        (Layout.SPLIT, (True, False), (False, True), (True, False)),
    ],
)
def test_reclaimable(layout: Layout, nodefs: Any, imagefs: Any, containerfs: Any) -> None:
    """(dead containers, unused images) by file system."""
    signals = (Signal.NODEFS_INODES, Signal.IMAGEFS, Signal.CONTAINERFS_INODES)
    assert [reclaimable(signal, layout) for signal in signals] == [nodefs, imagefs, containerfs]


@pytest.mark.parametrize(
    ("soft", "own", "maximum", "seconds"),
    [
        (False, 30, 90, 1),
        (True, 30, 90, 30),
        (True, 30, 10, 10),
        (True, None, 10, 10),
        (True, 30, 0, 1),
        (True, 30, -1, 1),
        (True, 0, 10, 1),
    ],
)
def test_grace(soft: bool, own: int | None, maximum: int, seconds: int) -> None:
    """A second for a hard threshold; for a soft one the pod's own time within bounds, never less than a second."""
    spec = {"containers": [{"name": "c"}], "terminationGracePeriodSeconds": own}
    pod = agent_pod({"metadata": {"name": "p"}, "spec": spec})
    (found,) = thresholds(Settings(hard={"pid.available": "1"}, enforced=False))
    threshold = Threshold(signal=found.signal, amount=found.amount, grace_seconds=1.0 if soft else None)
    assert grace_seconds(pod, threshold, maximum) == seconds


async def test_local_limits(tmp_path: Path, state: NodeState, caplog: pytest.LogCaptureFixture) -> None:
    """Every pod above a limit goes; of a critical one it is said, once. Nothing was short, so none is disrupted."""
    world = World(tmp_path, state)
    limited = {"containers": [{"name": "c", "resources": {"limits": {"ephemeral-storage": "100"}}}]}
    world.add("free", 500)
    world.add("within", 100, **limited)
    world.add("above", 101, **limited)
    world.add("critical", 101, priority=2_000_000_000, **limited)
    looks = LocalStorage(world.watch, world, world, world, counted=lambda signal: None)
    await looks.look()
    await looks.look()
    assert [line for line in world.diary if line.startswith("end")] == ["end above"]
    assert caplog.text.count("critical and stays") == 1
    message = "Pod ephemeral local storage usage exceeds the total limit of containers 100. "
    assert world.terminations[0] == Termination(grace_seconds=1, reason="Evicted", message=message, failed=True)
