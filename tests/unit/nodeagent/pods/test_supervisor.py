"""nodeagent.pods.supervisor: one pod from first sight to last trace, against a runtime that the test plays."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec
import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import (
    Container,
    ContainerState,
    ContainerStatus,
    Pod,
    PodCondition,
    PodReadinessGate,
    PodSpec,
    PodStatus,
)
from lightkube.models.meta_v1 import ObjectMeta
from recorded_runtime import RecordedRuntime, runtime_of

from nodeagent import logs
from nodeagent.pods.features.contract import Contribution, PodFeature, StatusAdditions
from nodeagent.pods.manager import STUCK_SECONDS, PodManager
from nodeagent.pods.rules.model import Desired, NodeAddresses, Observed, PodStage, StartFailure, Termination
from nodeagent.pods.rules.runtime_view import HASH_ANNOTATION, RESTART_COUNT_ANNOTATION, container_hash
from nodeagent.pods.services import PodServices, UnknownRuntime
from nodeagent.pods.status.writer import NoStatuses
from nodeagent.pods.step_runs import StepRun
from nodeagent.pods.steps.contract import StepError, SyncPass
from nodeagent.pods.supervisor import PodSupervisor
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.pod import AgentPod, PodUID
from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.kube.labels import LABEL_CONTAINER_NAME, LABEL_POD_UID
from runtimes.registry import Runtime

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
LABELS = {LABEL_POD_UID: "u1"}


def make_pod(**spec: Any) -> AgentPod:
    containers = [Container(name="c", image="i:1")]
    return agent_pod(
        Pod(
            metadata=ObjectMeta(name="p", namespace="default", uid="u1", resourceVersion="1"),
            spec=PodSpec(
                **{"containers": containers, "terminationGracePeriodSeconds": 30, "restartPolicy": "Always", **spec}
            ),
            status=PodStatus(phase="Pending"),
        )
    )


class OneContainer(RecordedRuntime):
    """A runtime in which the world has put at most one sandbox and one container."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self.world = world

    async def list_pod_sandbox(self, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse:
        await self.world.before_look()
        items = [cri.PodSandbox(id="s1", labels=LABELS)] if self.world.sandbox else []
        return cri.ListPodSandboxResponse(items=items)

    async def pod_sandbox_status(self, request: cri.PodSandboxStatusRequest) -> cri.PodSandboxStatusResponse:
        network = cri.PodSandboxNetworkStatus(ip="10.0.0.5")
        status = cri.PodSandboxStatus(id="s1", state=cri.SANDBOX_READY, network=network, created_at=1)
        return cri.PodSandboxStatusResponse(status=status)

    async def list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
        found = self.world.container
        items = [cri.Container(id=found.id, pod_sandbox_id="s1")] if found is not None else []
        return cri.ListContainersResponse(containers=items)

    async def container_status(self, request: cri.ContainerStatusRequest) -> cri.ContainerStatusResponse:
        return cri.ContainerStatusResponse(status=self.world.container)


async def at_once() -> None:
    return


class Statuses(NoStatuses):
    """Keeps every status of the pod."""

    def __init__(self, kept: list[PodStatus]) -> None:
        super().__init__()
        self.kept = kept
        self.end_is_shown = False

    def publish(self, pod: AgentPod, status: PodStatus, *, containers_may_run: bool) -> None:
        super().publish(pod, status, containers_may_run=containers_may_run)
        self.kept.append(status)
        self.end_is_shown = not containers_may_run

    def in_step(self, pod: AgentPod) -> bool:
        return pod.status is not None and pod.status == self.cached(pod.uid)


@dataclass
class World:
    """The runtime's contents, and all that the supervisor is given to work with."""

    now: datetime = START
    sandbox: bool = False
    container: cri.ContainerStatus | None = None
    told: list[str] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    statuses: list[PodStatus] = field(default_factory=list)
    next_pass: Callable[["World", SyncPass], Any] | None = None
    pass_cancelled: Callable[[SyncPass], None] = lambda work: None
    unknown_class: bool = False
    gate: asyncio.Event | None = None
    refresh_gate: asyncio.Event | None = None
    stop_gate: asyncio.Event | None = None
    nothing_given_back: bool = False
    before_look: Callable[[], Awaitable[None]] = at_once

    # the runtime

    def run_container(self, state: "cri.ContainerState", exit_code: int = 0) -> None:
        """The container is there, running or ended."""
        nanoseconds = int(self.now.timestamp() * 1e9)
        self.sandbox = True
        self.container = cri.ContainerStatus(
            id="k1",
            metadata=cri.ContainerMetadata(name="c"),
            state=state,
            created_at=nanoseconds,
            started_at=nanoseconds,
            finished_at=nanoseconds if state == cri.CONTAINER_EXITED else 0,
            exit_code=exit_code,
            labels={LABEL_CONTAINER_NAME: "c"},
            annotations={
                HASH_ANNOTATION: container_hash(Container(name="c", image="i:1")),
                RESTART_COUNT_ANNOTATION: "0",
            },
        )

    # the step engine

    async def carry_out(self, work: SyncPass) -> list[Exception]:
        self.told.append("pass")
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.pass_cancelled(work)
                raise
        outcome = self.next_pass(self, work) if self.next_pass is not None else None
        return list(outcome or [])

    async def stop(self, teardown: Teardown) -> None:
        self.told.append(f"stop grace={teardown.grace_seconds}" + (", at once" if teardown.at_once else ""))
        if self.stop_gate is not None and not teardown.at_once:
            await self.stop_gate.wait()
        if self.container is not None and self.container.state == cri.CONTAINER_RUNNING:
            self.run_container(cri.CONTAINER_EXITED, 143)

    async def give_back(self, teardown: Teardown) -> None:
        if self.nothing_given_back:
            raise ExceptionGroup("stuck", [OSError("the driver is away")])

    async def release(self, teardown: Teardown) -> None:
        self.told.append("release, records kept" if teardown.keep_records else "release")
        if not teardown.keep_records:
            self.sandbox, self.container = False, None

    def current_steps(self, uid: PodUID) -> tuple[StepRun, ...]:
        return ()

    async def kill_container(self, *arguments: Any, **options: Any) -> None:
        self.told.append("kill")

    # the rest

    def resolve(self, pod: AgentPod) -> Runtime:
        if self.unknown_class:
            raise UnknownRuntime("no such class")
        return runtime_of(OneContainer(self), "runc")

    def all(self) -> tuple[Runtime, ...]:
        return ()

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.events.append((reason, message))

    def add_to(self, observed: Observed) -> Observed:
        return observed

    def highest_log_numbers(self, pod: AgentPod, observed: Observed) -> dict[str, int]:
        return {}

    def forget(self, ids: Any) -> None:
        return

    async def refresh(self, pod: AgentPod, *, anew: bool) -> None:
        self.told.append("refresh anew" if anew else "refresh")
        if self.refresh_gate is not None:
            await self.refresh_gate.wait()

    def sync(self, *arguments: Any) -> None:
        return

    async def remove(self, *arguments: Any) -> None:
        self.told.append("remove")


class Probing:
    def sync(self, *arguments: Any) -> None:
        return

    def stop(self, uid: str, *, keep_readiness: bool) -> None:
        return


def supervise(
    world: World,
    pod: AgentPod,
    *,
    features: Sequence[PodFeature] = (),
    statuses: Statuses | None = None,
    **more: Any,
) -> PodSupervisor:
    services = PodServices(
        engine=world,
        runtimes=world,
        statuses=statuses or Statuses(world.statuses),
        events=world,
        probing=Probing(),
        volumes=world,
        termination_messages=world,
        dead_containers=world,
        terminator=world,
        addresses=lambda: NodeAddresses(host_ips=("192.0.2.1",)),
        now=lambda: world.now,
        features=features,
    )
    return PodSupervisor(Desired(pod=pod), services, **more)


def state_of(status: PodStatus) -> ContainerState:
    """Of the one container."""
    (found,) = status.containerStatuses or [ContainerStatus(image="", imageID="", name="", ready=False, restartCount=0)]
    return found.state or ContainerState()


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(60):
        await asyncio.sleep(0)


@pytest.fixture
async def tasks() -> Any:
    """Runs supervisors; what is left at the end is cancelled."""
    running: list[asyncio.Task[None]] = []

    def start(supervisor: PodSupervisor) -> "asyncio.Task[None]":
        running.append(asyncio.create_task(supervisor.run()))
        return running[-1]

    yield start
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def deleted(pod: AgentPod, grace: int = 5) -> AgentPod:
    assert pod.metadata is not None
    metadata = msgspec.structs.replace(pod.metadata, deletionTimestamp=START, deletionGracePeriodSeconds=grace)
    return dataclasses.replace(pod, metadata=metadata)


async def test_a_new_pod_is_started_once(tasks: Any) -> None:
    """One pass makes sandbox and container; then the supervisor sleeps, whatever wakes it."""
    world = World(next_pass=lambda world, work: world.run_container(cri.CONTAINER_RUNNING))
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    supervisor.wake()
    await settle()
    assert world.told == ["pass"]
    assert world.statuses[-1].phase == "Running"
    assert world.statuses[-1].podIP == "10.0.0.5"


async def test_what_is_logged_in_its_course_carries_the_pod(tasks: Any) -> None:
    """Also in the work that it begins; not outside."""
    seen: list[logs.PodField | None] = []
    world = World(next_pass=lambda world, work: seen.append(logs.POD.get()))
    tasks(supervise(world, make_pod()))
    await settle()
    assert seen[0] == logs.PodField(namespace="default", name="p", uid="u1")
    assert logs.POD.get() is None


async def test_an_adopted_pod_is_left_alone(tasks: Any) -> None:
    """After an agent's restart a running container is found, shown, and not touched."""
    world = World()
    world.run_container(cri.CONTAINER_RUNNING)
    tasks(supervise(world, make_pod()))
    await settle()
    assert world.told == []
    assert world.statuses[-1].phase == "Running"


async def test_its_own_status_coming_back_is_no_news(tasks: Any) -> None:
    """A turn is taken for a status that somebody edited, one with a readiness gate's answer, and a phase that ends the pod."""
    world = World()
    world.run_container(cri.CONTAINER_RUNNING)
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()

    async def turns(pod: AgentPod) -> int:
        before = len(world.statuses)
        supervisor.update(Desired(pod=pod), status_only=True)
        await settle()
        return len(world.statuses) - before

    echo = dataclasses.replace(make_pod(), status=world.statuses[-1])
    assert await turns(echo) == 0
    edited = msgspec.structs.replace(world.statuses[-1], podIP="10.9.9.9")
    assert await turns(dataclasses.replace(echo, status=edited)) == 1
    gates = [PodReadinessGate(conditionType="example.com/ready")]
    gated = dataclasses.replace(make_pod(readinessGates=gates), status=world.statuses[-1])
    assert await turns(gated) == 1
    failed = dataclasses.replace(make_pod(), status=PodStatus(phase="Failed"))
    assert await turns(failed) >= 1
    assert "stop grace=30" in world.told


async def test_deletion_stops_then_releases_then_ends(tasks: Any) -> None:
    """Grace of the deletion; statuses of every stage; the last one with the exit code; then the supervisor is done."""
    world = World()
    world.run_container(cri.CONTAINER_RUNNING)
    supervisor = supervise(world, make_pod())
    task = tasks(supervisor)
    await settle()
    supervisor.update(Desired(pod=deleted(make_pod())))
    await settle()
    assert task.done()
    assert world.told == ["stop grace=5", "release"]
    assert world.statuses[-1].phase == "Failed"
    ended = state_of(world.statuses[-1]).terminated
    assert ended is not None
    assert ended.exitCode == 143


@pytest.mark.parametrize("ends_by_itself", [True, False])
async def test_the_end_is_told_when_others_may_have_what_it_had(tasks: Any, ends_by_itself: bool) -> None:
    """Whoever reads that a pod has ended may give its devices to another: it is not told before they are given back, and what
    cannot be is said and tried again.
    """
    world = World(nothing_given_back=True)
    world.run_container(cri.CONTAINER_EXITED if ends_by_itself else cri.CONTAINER_RUNNING)
    pod = make_pod(restartPolicy="Never")
    statuses = Statuses(world.statuses)
    supervisor = supervise(world, pod if ends_by_itself else deleted(pod), statuses=statuses)
    tasks(supervisor)
    await settle()
    assert (supervisor.stage, statuses.end_is_shown) == (PodStage.TERMINATING, False)
    assert ("FailedKillPod", "error killing pod: the driver is away") in world.events
    assert "release" not in " ".join(world.told)
    world.nothing_given_back = False
    world.now += timedelta(minutes=10)
    supervisor.wake()
    await settle()
    assert (supervisor.stage, statuses.end_is_shown) == (PodStage.FINISHED, True)


async def test_while_it_holds_resources_it_is_active(tasks: Any) -> None:
    """15.2: as it is wanted now; also while it ends. One that was refused, or had ended before the agent started, holds none."""
    world = World()
    world.run_container(cri.CONTAINER_RUNNING)
    ended = dataclasses.replace(make_pod(), status=PodStatus(phase="Failed"))
    refused = StartFailure(reason="OutOfcpu", message="no room")
    assert supervise(world, ended).active is supervise(world, make_pod(), rejected=refused).active is None
    supervisor, newer = supervise(world, make_pod()), make_pod()
    supervisor.update(Desired(pod=newer))
    assert supervisor.active is newer
    tasks(supervisor)
    await settle()
    world.stop_gate = asyncio.Event()
    supervisor.update(Desired(pod=dataclasses.replace(deleted(make_pod()), status=PodStatus(phase="Failed"))))
    await settle()
    assert (supervisor.stage, supervisor.active) == (PodStage.TERMINATING, supervisor.desired.pod)
    world.stop_gate.set()
    await settle()
    assert (supervisor.stage, supervisor.active) == (PodStage.FINISHED, None)


async def test_what_is_being_removed_is_not_looked_at_for_each_piece(tasks: Any) -> None:
    """Changes in the runtime while a pod is stopped bring a look each, while all of it is removed none."""
    looks = 0

    async def counted() -> None:
        nonlocal looks
        looks += 1

    class Slow(World):
        """Its runtime changes while it stops and while it releases."""

        async def changes(self) -> int:
            before = looks
            supervisor.runtime_changed()
            await asyncio.sleep(0.01)
            return looks - before

        async def stop(self, teardown: Teardown) -> None:
            await super().stop(teardown)
            self.told.append(f"{await self.changes()} looks")

        async def release(self, teardown: Teardown) -> None:
            await super().release(teardown)
            self.told.append(f"{await self.changes()} looks")

    world = Slow(before_look=counted)
    world.run_container(cri.CONTAINER_RUNNING)
    supervisor = supervise(world, make_pod())
    task = tasks(supervisor)
    await settle()
    supervisor.update(Desired(pod=deleted(make_pod())))
    await task
    assert world.told == ["stop grace=5", "1 looks", "release", "0 looks"]


async def test_deletion_cancels_a_pass_under_way(tasks: Any) -> None:
    """A pod that is deleted while its image is pulled does not wait for the pull."""
    world = World(gate=asyncio.Event())
    supervisor = supervise(world, make_pod())
    task = tasks(supervisor)
    await settle()
    assert world.told == ["pass"]
    supervisor.update(Desired(pod=deleted(make_pod())))
    await settle()
    assert task.done()
    assert world.told == ["pass", "stop grace=5", "release"]


async def test_what_a_cancelled_pass_has_found_out_is_kept(tasks: Any) -> None:
    """A start that failed while the pass was being cancelled: the status of the pod that ends tells why."""

    def fails_late(work: SyncPass) -> None:
        work.failures["c"] = StartFailure(reason="RunContainerError", message="no such file")

    world = World(gate=asyncio.Event(), pass_cancelled=fails_late)
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    supervisor.terminate(Termination(grace_seconds=1))
    await settle()
    waiting = [state.waiting for state in map(state_of, world.statuses)]
    assert "RunContainerError" in [each.reason for each in waiting if each is not None]


@pytest.mark.parametrize(("retry_seconds", "early", "late"), [(None, 9, 16), (1.0, 0.9, 1.6)])
async def test_a_failed_pass_is_told_and_tried_again_later(
    tasks: Any, retry_seconds: float | None, early: float, late: float
) -> None:
    """The step's event; no second try before its time, the usual one or the step's, whatever wakes; then it works."""
    error = StepError("broken", event_reason="FailedCreatePodSandBox", retry_seconds=retry_seconds)
    world = World(next_pass=lambda world, work: [error])
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    world.now += timedelta(seconds=early)
    supervisor.wake()
    await settle()
    assert world.told == ["pass"]
    assert world.events == [("FailedCreatePodSandBox", "broken")]
    world.next_pass = lambda world, work: world.run_container(cri.CONTAINER_RUNNING)
    world.now += timedelta(seconds=late - early)
    supervisor.wake()
    await settle()
    assert world.told == ["pass", "pass"]
    assert world.statuses[-1].phase == "Running"


async def test_a_pod_that_cannot_run_here_fails(tasks: Any) -> None:
    """A step that rejects it ends the pod, with the step's reason in its status."""
    error = StepError("no room", rejection="VolumeAttachmentLimitExceeded")
    world = World(next_pass=lambda world, work: [error])
    tasks(supervise(world, make_pod()))
    await settle()
    assert world.events == [("VolumeAttachmentLimitExceeded", "no room")]
    last = world.statuses[-1]
    assert (last.phase, last.reason, last.message) == ("Failed", "VolumeAttachmentLimitExceeded", "no room")


async def test_a_container_that_cannot_start_is_held_and_shown(tasks: Any) -> None:
    """Its reason is in the status; the next try comes after its hold, or at once when the pod's spec is changed."""

    def fail(world: World, work: SyncPass) -> None:
        world.sandbox = True
        work.failures["c"] = StartFailure(reason="ErrImagePull", message="no such image")

    world = World(next_pass=fail)
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    waiting = state_of(world.statuses[-1]).waiting
    assert waiting is not None
    assert (waiting.reason, waiting.message) == ("ErrImagePull", "no such image")
    supervisor.wake()
    await settle()
    assert world.told == ["pass"]
    supervisor.update(Desired(pod=make_pod(containers=[Container(name="c", image="i:2")])))
    await settle()
    assert [verb for verb in world.told if verb == "pass"] == ["pass", "pass"]


async def test_a_crash_is_restarted_at_once_then_with_back_off(tasks: Any) -> None:
    """The first restart is immediate; the second waits, is told, and comes when its time has."""
    world = World()
    world.run_container(cri.CONTAINER_EXITED, 1)

    def crash(world: World, work: SyncPass) -> None:
        world.run_container(cri.CONTAINER_EXITED, 1)
        for start in work.plan.start:
            work.started[start.name] = start.backoff

    world.next_pass = crash
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    assert world.told == ["pass"]
    assert [reason for reason, _ in world.events] == ["BackOff"]
    waiting = state_of(world.statuses[-1]).waiting
    assert waiting is not None
    assert waiting.reason == "CrashLoopBackOff"
    world.now += timedelta(seconds=11)
    supervisor.wake()
    await settle()
    assert world.told == ["pass", "pass"]


async def test_a_completed_pod_keeps_its_records_until_it_is_deleted(tasks: Any) -> None:
    """restartPolicy Never: the pod ends by itself; what its log needs stays until the object goes."""
    world = World()
    world.run_container(cri.CONTAINER_EXITED, 0)
    supervisor = supervise(world, make_pod(restartPolicy="Never"))
    task = tasks(supervisor)
    await settle()
    assert world.told == ["stop grace=30", "release, records kept"]
    assert (world.statuses[-1].phase, supervisor.stage) == ("Succeeded", PodStage.FINISHED)
    assert supervisor.stopped.is_set() and supervisor.released.is_set() and not task.done()
    supervisor.update(Desired(pod=make_pod(restartPolicy="Never"), removed=True))
    await settle()
    assert task.done()
    assert world.told[2:] == ["stop grace=30", "release"]


async def test_an_eviction_shows_its_reason(tasks: Any) -> None:
    """A termination from inside ends the pod with its grace period, reason and message."""
    world = World()
    world.run_container(cri.CONTAINER_RUNNING)
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    supervisor.terminate(Termination(grace_seconds=1, reason="Evicted", message="low on memory", failed=True))
    await settle()
    assert world.told == ["stop grace=1", "release, records kept"]
    last = world.statuses[-1]
    assert (last.phase, last.reason, last.message) == ("Failed", "Evicted", "low on memory")


async def test_a_stop_that_is_to_be_at_once_overtakes_another(tasks: Any) -> None:
    """The containers that had time for their end are killed; a grace that is only shorter disturbs no stop under way."""
    world = World(stop_gate=asyncio.Event())
    world.run_container(cri.CONTAINER_RUNNING)
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    soft = Termination(grace_seconds=20, reason="Evicted", message="low on memory", failed=True)
    supervisor.terminate(soft)
    await settle()
    supervisor.terminate(dataclasses.replace(soft, grace_seconds=5))
    await settle()
    assert world.told == ["stop grace=20"]
    supervisor.terminate(dataclasses.replace(soft, grace_seconds=1, at_once=True))
    supervisor.terminate(soft)
    await settle()
    assert world.told == ["stop grace=20", "stop grace=1, at once", "release, records kept"]
    assert (world.statuses[-1].phase, world.statuses[-1].reason) == ("Failed", "Evicted")


async def test_room_is_made_of_what_an_ended_pod_keeps(tasks: Any) -> None:
    """Its dead containers go once, its status and the object stay; those of a pod that runs are not touched."""
    world = World()
    world.run_container(cri.CONTAINER_RUNNING)
    supervisor = supervise(world, make_pod(restartPolicy="Never"))
    task = tasks(supervisor)
    await settle()
    await supervisor.remove_dead()
    assert world.told == []
    world.run_container(cri.CONTAINER_EXITED, 3)
    supervisor.wake()
    await settle()
    for _ in range(2):
        await supervisor.remove_dead()
    supervisor.wake()
    await settle()
    assert world.told == ["stop grace=30", "release, records kept", "remove"]
    terminated = state_of(world.statuses[-1]).terminated
    assert (world.statuses[-1].phase, supervisor.stage) == ("Failed", PodStage.FINISHED)
    assert terminated is not None and terminated.exitCode == 3
    assert not task.done()


async def test_the_active_deadline_ends_a_pod(tasks: Any) -> None:
    """activeDeadlineSeconds counts from the pod's start; event and status say so."""
    world = World()
    world.run_container(cri.CONTAINER_RUNNING)
    supervisor = supervise(world, make_pod(activeDeadlineSeconds=60))
    tasks(supervisor)
    await settle()
    world.now += timedelta(seconds=61)
    supervisor.wake()
    await settle()
    assert world.events == [("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")]
    assert (world.statuses[-1].phase, world.statuses[-1].reason) == ("Failed", "DeadlineExceeded")


async def test_a_rejected_pod_fails_and_never_runs(tasks: Any) -> None:
    """No step is run for it; phase, reason and message tell."""
    world = World()
    rejected = StartFailure(reason="OutOfcpu", message="Node didn't have enough resource: cpu")
    tasks(supervise(world, make_pod(), rejected=rejected))
    await settle()
    assert "pass" not in world.told
    last = world.statuses[-1]
    assert (last.phase, last.reason) == ("Failed", "OutOfcpu")
    assert last.message == "Pod was rejected: Node didn't have enough resource: cpu"


async def test_an_unknown_runtime_class_keeps_the_pod_pending(tasks: Any) -> None:
    """The event names it; when the class is there the pod starts."""
    world = World(unknown_class=True, next_pass=lambda world, work: world.run_container(cri.CONTAINER_RUNNING))
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    assert world.events == [("FailedCreatePodSandBox", "Failed to create pod sandbox: no such class")]
    assert world.statuses[-1].phase == "Pending"
    world.unknown_class = False
    world.now += timedelta(seconds=16)
    supervisor.wake()
    await settle()
    assert world.statuses[-1].phase == "Running"


async def test_volumes_are_refreshed_now_and_then(tasks: Any) -> None:
    """A running pod's volumes are brought up to date between one and one and a half minutes after its start."""
    world = World()
    world.run_container(cri.CONTAINER_RUNNING)
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    world.now += timedelta(seconds=91)
    supervisor.wake()
    await settle()
    assert world.told == ["refresh"]


async def test_changed_sources_reach_the_volumes_at_once(tasks: Any) -> None:
    """What comes while a refresh runs makes one more, however much it is; a pass under way and a back-off hold up neither."""
    world = World(gate=asyncio.Event(), refresh_gate=asyncio.Event())
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    supervisor.refresh()
    await settle()
    assert world.told == ["pass", "refresh anew"]
    for _ in range(5):
        supervisor.refresh()
        await settle()
    assert world.refresh_gate is not None
    world.refresh_gate.set()
    await settle()
    assert world.told == ["pass", "refresh anew", "refresh anew"]
    world.now += timedelta(seconds=91)
    supervisor.wake()
    await settle()
    assert world.told[3:] == ["refresh"]


async def test_a_pods_own_metadata_is_a_source(tasks: Any) -> None:
    """downwardAPI volumes follow a changed label; a status alone changes nothing, and neither does the pod's end."""
    world = World()
    world.run_container(cri.CONTAINER_RUNNING)
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    supervisor.update(Desired(pod=make_pod()), status_only=True)
    await settle()
    assert world.told == []
    supervisor.update(Desired(pod=make_pod()))
    await settle()
    assert world.told == ["refresh anew"]
    supervisor.update(Desired(pod=deleted(make_pod())))
    await settle()
    assert "refresh" not in " ".join(world.told[1:])


@pytest.mark.parametrize("deleted_too", [False, True])
@pytest.mark.parametrize("spec", [{}, {"activeDeadlineSeconds": 30}])
async def test_a_runtime_that_is_down_keeps_no_old_files(tasks: Any, deleted_too: bool, spec: Any) -> None:
    """Volumes are refreshed though the pod cannot be looked at, but for one that is to go; and the pod's loop does not spin
    meanwhile, whatever falls due: a refresh, a back-off, a deadline.
    """

    def crash(world: World, work: SyncPass) -> None:
        world.run_container(cri.CONTAINER_EXITED, 1)
        work.started.update((start.name, start.backoff) for start in work.plan.start)

    world = World(next_pass=crash)
    world.run_container(cri.CONTAINER_EXITED, 1)
    supervisor = supervise(world, make_pod(**spec))
    tasks(supervisor)
    await settle()
    waiting = state_of(world.statuses[-1]).waiting
    assert waiting is not None
    assert waiting.reason == "CrashLoopBackOff"
    world.told.clear()
    looks = 0

    async def down() -> None:
        nonlocal looks
        looks += 1
        raise errors.Unavailable("down")

    world.before_look = down
    world.now += timedelta(seconds=91)
    if deleted_too:
        supervisor.update(Desired(pod=deleted(make_pod(**spec))))
    supervisor.wake()
    await settle()
    assert (world.told, looks) == ([] if deleted_too else ["refresh"], 1)


async def test_a_turn_that_hangs_can_be_seen(tasks: Any) -> None:
    """While a runtime does not answer, the pod's turn goes on; afterwards it waits for its next one."""
    answer = asyncio.Event()

    async def hang() -> None:
        await answer.wait()

    world = World(before_look=hang)
    supervisor = supervise(world, make_pod())
    tasks(supervisor)
    await settle()
    manager: Any = PodManager.__new__(PodManager)
    manager._supervisors, manager._services = {"u1": supervisor}, supervisor._services
    assert (supervisor.sync_began, manager.is_moving()) == (START, True)
    world.now += timedelta(seconds=STUCK_SECONDS)
    assert not manager.is_moving()
    answer.set()
    await settle()
    assert manager.is_moving()


class Feature(PodFeature):
    """Wants the container restarted once, and has work to do; tells its phases to the world."""

    name: ClassVar[str] = "feature"

    def __init__(self, world: World) -> None:
        self.world = world
        self.wish = Contribution(restarts={"k1": "wants another one"}, has_work=True)
        self.looked = asyncio.Event()

    def updated(self, pod: AgentPod) -> None:
        self.world.told.append("updated")

    def observed(self, pod: AgentPod, observed: Observed) -> Contribution:
        self.looked.set()
        return self.wish

    def status(self, pod: AgentPod) -> StatusAdditions:
        return StatusAdditions(conditions=(PodCondition(type="example.com/Feature", status="True"),))

    async def before_stop(self, pod: AgentPod, stopped: Mapping[str, str]) -> None:
        self.world.told.append(f"before stop of {dict(stopped)}")

    async def act(self, runtime: Runtime, pod: AgentPod, observed: Observed) -> None:
        self.world.told.append("act")
        self.wish = Contribution(wake_at=self.world.now + timedelta(seconds=0.01))

    def started(self, pod: AgentPod, names: Iterable[str]) -> None:
        self.world.told.append(f"started {sorted(names)}")

    def ended(self, uid: PodUID) -> None:
        self.world.told.append("ended")


async def test_a_feature_takes_part_in_a_pods_life(tasks: Any) -> None:
    """What it restarts is recorded first, then killed, then it acts, then the container starts again; it shows its condition, is
    looked at when it wants to be, and hears of a new spec and of the pod's end.
    """

    def start(world: World, work: SyncPass) -> None:
        world.told.append(work.plan.kill[0].message)
        work.started.update((start.name, start.backoff) for start in work.plan.start)

    world = World(next_pass=start)
    world.run_container(cri.CONTAINER_RUNNING)
    feature = Feature(world)
    supervisor = supervise(world, make_pod(), features=[feature])
    tasks(supervisor)
    await settle()
    assert world.told == [
        "before stop of {'c': 'k1'}",
        "kill",
        "act",
        "pass",
        "wants another one",
        "started ['c']",
    ]
    assert "example.com/Feature" in [condition.type for condition in world.statuses[-1].conditions or ()]
    feature.looked.clear()
    async with asyncio.timeout(5):
        await feature.looked.wait()
    feature.wish = Contribution()
    supervisor.update(Desired(pod=make_pod(activeDeadlineSeconds=600)))
    await settle()
    supervisor.terminate(Termination(grace_seconds=1))
    await settle()
    assert [line for line in world.told[6:] if "refresh" not in line] == [
        "updated",
        "stop grace=1",
        "ended",
        "release, records kept",
    ]
