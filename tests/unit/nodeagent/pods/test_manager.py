"""nodeagent.pods.manager: the order of admission. docs/facts/pod-lifecycle.md 1.1, 2.5 and 3.1."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import Pod, PodSpec, PodStatus
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.pods import manager, pod_tasks
from nodeagent.pods.admission.gate import Answer, Deferred, KillError
from nodeagent.pods.current_work import WorkKind
from nodeagent.pods.manager import PodManager
from nodeagent.pods.pod_tasks import PodTasks
from nodeagent.pods.rules.model import PodStage, StartFailure, Termination
from nodeagent.pods.step_runs import StepRun, Verb
from nodeagent.pods.sync_backoff import SyncBackoff
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.sources.merger import ChangeType, PodChange
from runtimes.linux.retry import RetryPolicy

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Supervisor:
    """In place of a real one: it runs until the test ends it."""

    def __init__(self, desired: Any, services: Any, *, rejected: StartFailure | None = None) -> None:
        self.desired, self.stage = desired, PodStage.SYNC
        ended = desired.pod.status.phase in ("Succeeded", "Failed")
        self.active = None if ended or rejected is not None else desired.pod
        self.uid = desired.pod.metadata.uid
        self.stopped, self.released, self.gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.terminated: list[Termination] = []
        self.doing, self.handler, self.sync_began = WorkKind.PASS, "runc", NOW
        self.backoff = SyncBackoff(lambda: NOW)

    async def run(self) -> None:
        await self.gone.wait()

    def terminate(self, termination: Termination) -> None:
        self.terminated.append(termination)


@dataclass
class World:
    told: list[str] = field(default_factory=list)
    answers: dict[str, Answer | Exception] = field(default_factory=dict)
    mistakes: list[Exception] = field(default_factory=list)  # raised by what comes when a pod has ended
    unregistered: str = ""  # the pod whose references cannot be followed

    def admit(self, pod: AgentPod, others: Sequence[AgentPod]) -> Answer:
        assert pod.metadata is not None
        self.told.append(f"{pod.metadata.name} beside {[other.metadata.name for other in others if other.metadata]}")
        answer = self.answers.get(pod.metadata.name or "")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.told.append(f"{type} {reason}: {message}")

    @property
    def events(self) -> "World":
        return self

    @property
    def statuses(self) -> "World":
        return self

    @property
    def engine(self) -> "World":
        return self

    def current_steps(self, uid: PodUID) -> tuple[StepRun, ...]:
        return (StepRun(step="images", verb=Verb.RUN, uid=uid, began=1.0),)

    def register(self, pod: AgentPod) -> None:
        if pod.metadata is not None and pod.metadata.name == self.unregistered:
            raise KeyError("no such object")

    def unregister(self, uid: str) -> None:
        self.told.append(f"{uid} is gone")

    async def settled(self, uid: PodUID) -> None:
        self.told.append(f"{uid} is settled")
        if self.mistakes:
            raise self.mistakes.pop()

    async def delete(self, pod: AgentPod) -> None:
        self.told.append("deleted")

    def seen(self, pod: AgentPod) -> AgentPod:
        if pod.metadata is not None and pod.metadata.name == "unseen":
            raise TypeError("'<' not supported")
        return pod

    def as_charged(self, allocated: Iterable[AgentPod]) -> list[AgentPod]:
        return list(allocated)

    def admitted(self, pod: AgentPod) -> None: ...

    def forget(self, uid: PodUID) -> None: ...


def change(name: str, kind: ChangeType = ChangeType.ADD, phase: str = "Pending") -> PodChange:
    metadata = ObjectMeta(name=name, namespace="default", uid=name)
    pod = agent_pod(Pod(metadata=metadata, spec=PodSpec(containers=[]), status=PodStatus(phase=phase)))
    return PodChange(type=kind, pod=pod)


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def pods(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(manager, "PodSupervisor", Supervisor)
    anything: Any = world
    monkeypatch.setattr(pod_tasks, "RETRY", RetryPolicy(first_seconds=0.0))
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            yield PodManager(
                services=anything,
                references=anything,
                admit=world.admit,
                tasks=PodTasks(group),
                mirrors=anything,
                allocations=anything,
            )
            raise asyncio.CancelledError  # leaves the group, and what still runs in it


async def test_pods_behind_one_that_waits_wait_too(pods: PodManager, world: World) -> None:
    """3.1: nobody takes the room that is being made for another; the order stays."""
    room = asyncio.Event()

    async def make_room() -> None:
        await room.wait()

    world.answers = {"critical": Deferred(make_room), "late": StartFailure(reason="OutOfcpu", message="full")}
    pods.apply([change("first"), change("critical"), change("late")])
    await asyncio.sleep(0)
    assert world.told == ["first beside []", "critical beside ['first']"]
    assert pods.known_uids() == {"first", "critical", "late"}  # nothing of theirs is an orphan's
    room.set()
    await asyncio.sleep(0.01)
    assert world.told[2:] == ["late beside ['first', 'critical']", "Warning OutOfcpu: full"]


async def test_a_pod_that_goes_while_it_waits_is_not_begun(pods: PodManager, world: World) -> None:
    """1.1: removed from its source before the answer."""
    room = asyncio.Event()

    async def make_room() -> None:
        await room.wait()

    world.answers = {"critical": Deferred(make_room)}
    pods.apply([change("critical")])
    pods.apply([change("critical", ChangeType.REMOVE)])
    room.set()
    await asyncio.sleep(0.01)
    assert pods.known_uids() == frozenset()


async def test_pods_that_have_ended_take_no_room(pods: PodManager, world: World) -> None:
    """15.2: they are not judged, nor is anybody judged beside them."""
    pods.apply([change("done", phase="Succeeded"), change("failed", phase="Failed"), change("a"), change("b")])
    assert world.told == ["a beside []", "b beside ['a']"]
    assert [pod.name for pod in pods.active_pods()] == ["a", "b"]


async def test_the_end_of_a_pod_is_waited_for(pods: PodManager, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """2.5: until its containers have ended, at most max(10 s, 1.5 x grace); then an event says so."""
    pods.apply([change("a")])
    supervisor: Any = pods._supervisors[PodUID("a")]
    termination = Termination(grace_seconds=0, reason="Preempting")
    ending = asyncio.create_task(pods.end(change("a").pod, termination))
    await asyncio.sleep(0)
    assert (supervisor.terminated, ending.done()) == ([termination], False)
    supervisor.stopped.set()
    await ending
    supervisor.stopped.clear()
    monkeypatch.setattr(manager, "KILL_WAIT_SECONDS", 0.0)
    with pytest.raises(KillError):
        await pods.end(change("a").pod, termination)
    assert world.told[-1] == (
        "Warning ExceededGracePeriod: Container runtime did not kill the pod within specified grace period."
    )


async def test_the_release_of_a_pod_is_waited_for(pods: PodManager) -> None:
    """Until its volumes and cgroup are given back, too; of one that is not here nothing is left."""
    pods.apply([change("a")])
    supervisor: Any = pods._supervisors[PodUID("a")]
    waiting = asyncio.create_task(pods.released(PodUID("a")))
    supervisor.stopped.set()
    await asyncio.sleep(0)
    assert not waiting.done()
    supervisor.released.set()
    await waiting
    await pods.released(PodUID("elsewhere"))


async def test_what_cannot_be_judged_troubles_no_other(
    pods: PodManager, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A pod over which a rule stumbles is rejected, one that cannot be taken over is told of; those behind them are begun;
    nothing of any of them is an orphan's."""
    world.answers["odd"] = ValueError("no number")
    pods.apply([change("unseen"), change("odd"), change("good")])
    assert pods.known_uids() == {"unseen", "odd", "good"}
    assert world.told == [
        "odd beside []",
        "Warning UnexpectedAdmissionError: no number",
        "good beside []",
    ]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "pod unseen_default(unseen): its ADD was not taken over",
        "admission of pod odd_default(odd) failed",
    ]
    pods.apply([change("unseen", ChangeType.REMOVE)])
    assert pods.known_uids() == {"odd", "good"}


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelname == "ERROR"]


async def test_a_mistake_at_a_pods_end_is_logged_and_tried_again(
    pods: PodManager, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What comes when its supervisor has ended is begun again; other pods, and the agent, go on."""
    world.mistakes = [TypeError("no number"), ValueError("no uid")]
    pods.apply([change("a"), change("b")])
    supervisor: Any = pods._supervisors[PodUID("a")]
    supervisor.gone.set()
    await asyncio.sleep(0.01)
    assert world.told[2:] == ["a is settled"] * 3 + ["deleted", "a is gone"]
    assert errors(caplog) == ["pod a: unexpected error, begins again in 0 s"] * 2
    assert pods.known_uids() == {"b"}


async def test_a_mistake_in_an_admission_ends_only_that(
    pods: PodManager, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A pod that was let in and cannot be begun is told of, and is no orphan; those behind it are judged and begun."""

    async def answer() -> None:
        return

    world.answers["critical"] = Deferred(answer)
    world.unregistered = "critical"
    pods.apply([change("critical"), change("late")])
    await asyncio.sleep(0.01)
    assert world.told == ["critical beside []", "late beside []"]
    assert errors(caplog) == ["pod critical_default(critical) is not begun"]
    assert pods.known_uids() == {"critical", "late"}


async def test_what_is_done_for_a_pod_can_be_seen(pods: PodManager, world: World) -> None:
    """Its stage, the steps that are under way, and until when nothing is tried again."""
    pods.apply([change("a")])
    supervisor: Any = pods._supervisors[PodUID("a")]
    supervisor.backoff.hold("c", 0.0)
    (found,) = pods.activities()
    assert [run.step for run in found.steps] == ["images"]
    assert (found.stage, found.doing, found.sync_began, found.blocked_until) == (
        PodStage.SYNC,
        WorkKind.PASS,
        NOW,
        None,
    )
    assert (found.held_until, found.handler) == ({"c": NOW}, "runc")
