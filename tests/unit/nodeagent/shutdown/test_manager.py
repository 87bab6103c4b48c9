"""What is done when the machine shuts down, in which order: over a real message bus, with a logind that this test plays."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from agent_pods import agent_pod
from components import needs
from logind import Logind, logind
from typing_extensions import override

from nodeagent.api.events import Events, NodeEvents
from nodeagent.node.state import NodeState
from nodeagent.pods.rules.model import Termination
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.shutdown.groups import Group
from nodeagent.shutdown.manager import ShutdownManager, Surroundings
from nodeagent.shutdown.record import NEVER, ShutdownRecord

pytestmark = needs("dbus-daemon")

NOW = datetime(2026, 11, 28, 21, 0, 0, tzinfo=UTC)
MESSAGE = "Pod was terminated in response to imminent node shutdown."
GROUPS = (Group(priority=0, seconds=3), Group(priority=2_000_000_000, seconds=2))


class Node(Events):
    """Its pods end as soon as they are asked to, but those in `stuck`. `diary`: what happens, in order."""

    def __init__(self, state: NodeState, folder: Path, groups: Sequence[Group], logind: Logind) -> None:
        self.state = state
        self.diary: list[str] = []
        self.terminations: dict[str, Termination] = {}
        self.pods: list[AgentPod] = []
        self.stuck: set[str] = set()
        self.known = asyncio.Event()
        self.known.set()
        self.record = ShutdownRecord(folder)
        self.troubles: list[str] = [""]
        self.logind = logind
        surroundings = Surroundings(bus=logind.address, drop_ins=logind.drop_ins, sleep=self._sleep, known_seconds=0.3)
        node_events, health = NodeEvents(self, "n"), self
        self.manager = ShutdownManager(
            groups,
            self,
            state,
            node_events,
            self.record,
            health,
            pods_known=self._pods_known,
            now=lambda: NOW,
            surroundings=surroundings,
        )

    def add(self, name: str, priority: int = 0, grace: int = 30) -> None:
        spec = {"containers": [{"name": "c"}], "priority": priority, "terminationGracePeriodSeconds": grace}
        self.pods.append(agent_pod({"metadata": {"name": name, "uid": name}, "spec": spec}))

    async def _pods_known(self) -> None:
        await self.known.wait()

    async def _sleep(self, _: float) -> None:
        await asyncio.sleep(0.01)

    # -- the manager's pods, events and health ------------------------------------------------------------------------

    def active_pods(self) -> list[AgentPod]:
        return [pod for pod in self.pods if pod.name not in self.terminations]

    def terminate(self, uid: PodUID, termination: Termination) -> bool:
        assert not self.logind.locks or self.logind.held()[-1], "the lock is held while pods end"
        self.terminations[uid] = termination
        self.diary.append(f"{uid} is to end in {termination.grace_seconds}s")
        return True

    async def released(self, uid: PodUID) -> None:
        if uid in self.stuck:
            await asyncio.get_running_loop().create_future()
        self.diary.append(f"{uid} has ended")

    async def reported(self, uid: PodUID) -> None:
        self.diary.append(f"{uid} is reported")

    @override
    def event(self, ref: Any, type: str, reason: str, message: str, **_: Any) -> None:
        assert (ref.kind, ref.name) == ("Node", "n")
        self.diary.append(f"{type} {reason}: {message}")

    def failed(self, reason: str) -> None:
        self.troubles.append(reason)

    def works(self) -> None:
        self.troubles.append("works")


@contextlib.asynccontextmanager
async def at_work(
    state: NodeState, folder: Path, groups: Sequence[Group] = GROUPS, **logind_fields: Any
) -> AsyncIterator[Node]:
    async with logind(folder, **logind_fields) as bus, asyncio.timeout(60):
        node = Node(state, folder, groups, bus)
        task = asyncio.create_task(node.manager.run())
        try:
            yield node
        finally:
            task.cancel()
            await asyncio.wait({task})
        await bus.when_held(*(False for _ in bus.locks))  # who leaves holds nothing up


async def until(check: Callable[[], bool]) -> None:
    while not check():  # noqa: ASYNC110  # nothing tells
        await asyncio.sleep(0.01)


async def test_a_shutdown(state: NodeState, tmp_path: Path) -> None:
    """The event, then not Ready; the lowest group, then the critical one; the lock is given back last."""
    async with at_work(state, tmp_path) as node:
        node.add("critical", 2_000_000_000, grace=1)
        node.add("a")
        node.add("b", 5)
        await until(lambda: node.troubles[-1] == "works")
        assert node.logind.asked == [
            ["shutdown", "kubelet", "Kubelet needs time to handle node shutdown", "delay"],
        ]
        assert not node.state.shutting_down
        node.logind.announce(True)
        await node.logind.when_held(False)
        assert node.state.shutting_down and node.state.changed.is_set()
    assert node.diary == [
        "Normal Shutdown: Shutdown manager detected shutdown event",
        "a is to end in 3s",
        "b is to end in 3s",
        "a has ended",
        "a is reported",
        "b has ended",
        "b is reported",
        "critical is to end in 1s",
        "critical has ended",
        "critical is reported",
    ]
    assert node.terminations["a"] == Termination(
        grace_seconds=3, reason="Terminated", message=MESSAGE, failed=True, disruption_message=MESSAGE
    )
    assert (node.record.last.start_time, node.record.last.end_time) == (NOW, NOW)


async def test_a_pod_that_does_not_end(state: NodeState, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its group's time, and no more: the next group has its turn, the machine goes on, and the log has its name."""
    async with at_work(state, tmp_path, (Group(priority=0, seconds=0), Group(priority=10, seconds=3))) as node:
        node.add("stuck")
        node.add("next", 10)
        node.stuck.add("stuck")
        await node.logind.when_held(True)
        node.logind.announce(True)
        await node.logind.when_held(False)
    assert node.diary[1:] == ["stuck is to end in 0s", "next is to end in 3s", "next has ended", "next is reported"]
    assert "not ended within 0s: stuck_default(stuck)" in caplog.text


async def test_a_shutdown_that_does_not_take_place(state: NodeState, tmp_path: Path) -> None:
    """A new lock is held, the node is as it was, and the next shutdown is one again; what has ended stays so."""
    async with at_work(state, tmp_path) as node:
        node.add("first")
        await node.logind.when_held(True)
        node.logind.announce(True)
        await node.logind.when_held(False)
        node.logind.announce(False)
        await node.logind.when_held(False, True)
        assert not node.state.shutting_down
        assert node.diary[-1] == "Normal Shutdown: Shutdown manager detected shutdown cancellation"
        node.add("second")
        node.logind.announce(True)
        await node.logind.when_held(False, False)
    assert "second has ended" in node.diary and node.diary.count("first has ended") == 1


async def test_a_delay_that_is_too_short(state: NodeState, tmp_path: Path) -> None:
    """A kubelet's drop-in asks for as much as all groups have, logind reads it, and then there is a lock."""
    async with at_work(state, tmp_path, delay_seconds=4.9) as node:
        await until(lambda: node.troubles[-1] == "works")
    assert (tmp_path / "logind.conf.d" / "99-kubelet.conf").read_text().splitlines()[1:] == [
        "[Login]",
        "InhibitDelayMaxSec=5",
    ]


async def test_a_delay_that_is_enough(state: NodeState, tmp_path: Path) -> None:
    """Nothing of the machine's configuration is touched."""
    async with at_work(state, tmp_path, delay_seconds=5) as node:
        await until(lambda: node.troubles[-1] == "works")
    assert not node.logind.drop_ins.exists()


async def test_a_logind_that_is_not_to_be_persuaded(state: NodeState, tmp_path: Path) -> None:
    """There is no lock that promises more than it holds, the part says why; it is tried again, and works in the end."""
    async with at_work(state, tmp_path, delay_seconds=1, deaf=True) as node:
        text = "logind delays a shutdown by 1s at most, pods are to have 5s"
        await until(lambda: text in node.troubles)
        assert node.logind.locks == []
        node.logind.deaf = False
        await until(lambda: node.troubles[-1] == "works")


async def test_a_bus_that_restarts(state: NodeState, tmp_path: Path) -> None:
    """The lock is kept meanwhile; the new logind gives a new one, the old one is given back, and signals are heard."""
    async with at_work(state, tmp_path) as node:
        node.add("p")
        await node.logind.when_held(True)
        await node.logind.stop()
        await until(lambda: "lost" in node.troubles[-1])
        assert node.logind.held() == [True]
        await node.logind.start()
        await node.logind.when_held(False, True)
        node.logind.announce(True)
        await node.logind.when_held(False, False)
    assert "p has ended" in node.diary


async def test_a_signal_that_was_missed(state: NodeState, tmp_path: Path) -> None:
    """An agent that comes while the machine shuts down ends the pods at once: the last one may have died of it."""
    async with at_work(state, tmp_path, preparing=True) as node:
        node.add("p")
        await until(lambda: node.record.last.end_time != NEVER)
        assert node.state.shutting_down and node.logind.locks == []
        await node.logind.stop()
        node.logind.preparing = False
        await node.logind.start()
        await until(lambda: node.troubles[-1] == "works")
        assert not node.state.shutting_down
    assert node.diary.count("p has ended") == 1
    assert node.diary[-1] == "Normal Shutdown: Shutdown manager detected shutdown cancellation"


@pytest.mark.parametrize("in_time", [True, False], ids=["in time", "never"])
async def test_an_agent_that_has_just_started(state: NodeState, tmp_path: Path, in_time: bool) -> None:
    """What runs is known before the node takes no pods any more; an API that does not answer holds up no machine."""
    async with at_work(state, tmp_path) as node:
        node.known.clear()
        await node.logind.when_held(True)
        node.logind.announce(True)
        await until(lambda: bool(node.diary))
        if in_time:
            assert not state.shutting_down
            node.add("p")
            node.known.set()
        await node.logind.when_held(False)
        assert state.shutting_down and ("p has ended" in node.diary) is in_time
