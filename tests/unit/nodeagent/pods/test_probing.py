"""Workers in step with pods, on a clock that moves when told: docs/facts/pod-lifecycle.md 7.2 and 7.4."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from agent_pods import agent_pod
from fake_timers import FakeTimers

from nodeagent.metrics.probes import ProbeMetrics
from nodeagent.pods.pod_tasks import PodTasks
from nodeagent.pods.probing import ProbeManager
from nodeagent.pods.rules.model import Instance, NodeAddresses, Observed, ProbeResults
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.probes.outcome import Outcome, ProbeError, failure, success, warning
from proto import cri_pb2 as cri

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = PodUID("uid-1")
HTTP = {"httpGet": {"port": 80}}


def make_pod(*containers: dict[str, Any], init: Any = (), status: Any = None) -> AgentPod:
    def full(items: Any) -> list[dict[str, Any]]:
        return [{"name": "main", **item} for item in items]

    return agent_pod(
        {
            "metadata": {"name": "web", "namespace": "ns", "uid": UID},
            "spec": {"containers": full(containers), "initContainers": full(init)},
            "status": status or {},
        },
    )


def seen(*runs: tuple[str, int, str, datetime], ip: str = "10.0.0.7") -> Observed:
    """Instances (name, n, running|exited, started at) in one sandbox."""
    instances = tuple(
        Instance(
            sandbox_id="s",
            status=cri.ContainerStatus(
                id=f"{name}-{n}",
                metadata=cri.ContainerMetadata(name=name),
                state=cri.CONTAINER_RUNNING if state == "running" else cri.CONTAINER_EXITED,
                started_at=int(started.timestamp() * 10**9),
            ),
        )
        for name, n, state, started in runs
    )
    sandbox = cri.PodSandboxStatus(id="s", state=cri.SANDBOX_READY, network=cri.PodSandboxNetworkStatus(ip=ip))
    return Observed(sandboxes=(sandbox,), instances=instances)


@dataclass
class World:
    """A manager with its surroundings; `script` says what probes find."""

    timers: FakeTimers
    metrics: ProbeMetrics = field(default_factory=lambda: ProbeMetrics(0.0))
    manager: ProbeManager = field(init=False)
    answers: dict[str, Outcome | Exception] = field(default_factory=dict)
    runs: list[tuple[float, str, str]] = field(default_factory=list)
    results: list[tuple[str, ProbeResults]] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.timers.now - 1000)

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        assert type == "Warning"
        self.events.append((reason, message, field_path))

    async def runner(self, probe: Any, target: Any) -> Outcome:
        which = "exec" if probe.exec else "tcp" if probe.tcpSocket else "http"
        self.runs.append((round(self.timers.now - 1000, 3), which, target.container_id))
        answer = self.answers.get(which, success())
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sync(self, pod: AgentPod, observed: Observed) -> None:
        runtime: Any = type("Runtime", (), {"service": None})()
        self.manager.sync(pod, observed, runtime, lambda *found: self.results.append(found))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    timers = FakeTimers()
    made = World(timers)
    async with asyncio.TaskGroup() as tasks:
        made.manager = ProbeManager(
            tasks=PodTasks(tasks),
            events=made,
            addresses=lambda: NodeAddresses(host_ips=("192.168.0.1",)),
            now=lambda: made.now,
            agent_started_at=START,
            timers=timers,
            runner=made.runner,
            jitter=lambda: 0.5,
            observer=made.metrics,
        )
        yield made
        made.manager.stop(UID, keep_readiness=False)
    assert made.manager.workers == 0


async def test_readiness_over_time(world: World) -> None:
    """7.2: looks after the start, then every period; ready after a success, not ready after three failures."""
    pod = make_pod({"readinessProbe": HTTP})
    world.answers["http"] = failure("HTTP probe failed with statuscode: 500")
    world.sync(pod, seen(("main", 0, "running", START)))
    await world.timers.advance(1)
    assert [at for at, _, _ in world.runs] == [0, 0.1, 0.3, 1]
    assert (world.results, world.events) == (
        [],
        [("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500", "spec.containers{main}")],
    )
    world.answers["http"] = success()
    await world.timers.advance(10)
    world.answers["http"] = failure("x")
    await world.timers.advance(30)
    assert [at for at, _, _ in world.runs][4:] == [11, 21, 31, 41]
    assert world.results == [("main-0", ProbeResults(ready=True)), ("main-0", ProbeResults(ready=False))]
    assert len(world.events) == 4


async def test_runs_are_counted(world: World) -> None:
    """Runs that count, by result, as long as there is the probe; what erred is no result."""
    pod = make_pod({"readinessProbe": HTTP})
    world.sync(pod, seen(("main", 0, "running", START)))
    await world.timers.advance(20)
    world.answers["http"] = failure("x")
    await world.timers.advance(10)
    world.answers["http"] = ProbeError("cannot")
    await world.timers.advance(10)

    def counted() -> dict[str, float]:
        total, *_ = world.metrics.collect()
        return {sample.labels["result"]: sample.value for sample in total.samples}

    looks = len([at for at, _, _ in world.runs if 0 < at <= 20])
    assert counted() == {"successful": looks, "failed": 1}
    world.manager.stop(UID, keep_readiness=False)
    assert counted() == {}


async def test_a_server_that_is_up_soon_is_ready_soon(world: World) -> None:
    """A look that succeeds is a result, without a second of waiting and without events for the looks before."""
    world.answers["http"] = failure("refused")
    world.sync(make_pod({"readinessProbe": HTTP}), seen(("main", 0, "running", START)))
    await world.timers.advance(0.05)
    world.answers["http"] = success()
    await world.timers.advance(0.06)
    assert (world.results, world.events) == ([("main-0", ProbeResults(ready=True))], [])


async def test_startup_gates_the_others(world: World) -> None:
    """7.2: liveness and readiness wait for `started`; startup is silent afterwards."""
    pod = make_pod({"startupProbe": {"tcpSocket": {"port": 1}}, "readinessProbe": HTTP, "livenessProbe": {"exec": {}}})
    world.answers["tcp"] = failure("refused")
    world.sync(pod, seen(("main", 0, "running", START)))
    await world.timers.advance(15)
    assert {which for _, which, _ in world.runs} == {"tcp"}
    assert world.events == [("Unhealthy", "Startup probe failed: refused", "spec.containers{main}")]
    world.answers["tcp"] = success()
    world.runs.clear()
    await world.timers.advance(20)
    assert world.runs[:3] == [(20, "tcp", "main-0"), (20, "http", "main-0"), (30, "http", "main-0")]
    assert {which for _, which, _ in world.runs[1:]} == {"http", "exec"}
    assert world.results == [
        ("main-0", ProbeResults(started=True, ready=False, live=True)),
        ("main-0", ProbeResults(started=True, ready=True, live=True)),
    ]


async def test_a_failed_liveness_probe_holds_until_the_next_container(world: World) -> None:
    """7.2: hold after the failure; a new container ID starts over with Success."""
    pod = make_pod({"livenessProbe": {**HTTP, "periodSeconds": 1, "failureThreshold": 2}})
    world.answers["http"] = failure("dead")
    world.sync(pod, seen(("main", 0, "running", START)))
    await world.timers.advance(10)
    assert [at for at, _, _ in world.runs] == [1, 2]
    assert world.results == [("main-0", ProbeResults(live=False))]
    world.answers["http"] = success()
    world.sync(pod, seen(("main", 0, "exited", START)))
    await world.timers.advance(10)
    world.sync(pod, seen(("main", 1, "running", world.now), ("main", 0, "exited", START)))
    await world.timers.advance(2)
    assert world.runs[2:] == [(21, "http", "main-1"), (22, "http", "main-1")]
    assert world.results[1:] == []  # it lives, as was assumed


async def test_an_erring_probe_is_tried_three_times_and_counts_for_nothing(world: World) -> None:
    """7.2, 7.4: retried at once up to 3 tries; then the tick is discarded, with an event."""
    world.answers["http"] = ProbeError("bad port")
    probe = {**HTTP, "failureThreshold": 1, "periodSeconds": 5}
    world.sync(make_pod({"livenessProbe": probe}), seen(("main", 0, "running", START)))
    await world.timers.advance(5)
    assert [at for at, _, _ in world.runs] == [5, 5, 5]
    assert world.results == []
    text = "Liveness probe errored and resulted in unknown state: bad port"
    assert world.events == [("Unhealthy", text, "spec.containers{main}")]
    world.answers["http"] = RuntimeError("a bug")
    await world.timers.advance(5)
    assert len(world.runs) == 6  # a bug in a handler ends nothing


async def test_a_warning_succeeds_with_an_event(world: World) -> None:
    """7.4: ProbeWarning."""
    world.answers["http"] = warning("Probe terminated redirects, Response body: x")
    world.sync(make_pod({"readinessProbe": {**HTTP, "successThreshold": 2}}), seen(("main", 0, "running", START)))
    await world.timers.advance(1)
    text = "Readiness probe warning: Probe terminated redirects, Response body: x"
    assert world.events == [("ProbeWarning", text, "spec.containers{main}")]


async def test_sidecars_are_probed_and_other_init_containers_are_not(world: World) -> None:
    """7.2: workers for regular containers and sidecars only."""
    side = {"name": "side", "restartPolicy": "Always", "readinessProbe": HTTP}
    pod = make_pod({}, init=[side, {"name": "init", "readinessProbe": HTTP}])
    world.sync(pod, seen(("side", 0, "running", START), ("init", 0, "running", START)))
    await world.timers.advance(0)
    assert (world.manager.workers, [name for _, _, name in world.runs]) == (1, ["side-0"])


async def test_during_termination_readiness_and_sidecars_go_on(world: World) -> None:
    """7.2: liveness and startup of regular containers stop at once; the pod can still turn NotReady."""
    all_three = {"readinessProbe": HTTP, "livenessProbe": {"exec": {}}}
    side = {"name": "side", "restartPolicy": "Always", "livenessProbe": {"tcpSocket": {"port": 1}}}
    world.sync(make_pod(all_three, init=[side]), seen(("main", 0, "running", START), ("side", 0, "running", START)))
    await world.timers.advance(1)
    world.manager.stop(UID, keep_readiness=True)
    world.runs.clear()
    world.answers["http"] = failure("stopping")
    await world.timers.advance(40)
    assert {which for _, which, _ in world.runs} == {"http", "tcp"}
    assert world.results[-1] == ("main-0", ProbeResults(ready=False, live=True))
    world.manager.stop(UID, keep_readiness=False)
    world.runs.clear()
    await world.timers.advance(40)
    assert world.runs == []


@pytest.mark.parametrize(
    ("age", "status", "first_runs", "expected"),
    [
        # more than 10 s before the agent: no reset; a random point of the period
        (60, {"ready": True, "started": True}, [5, 15], [ProbeResults(started=True, ready=True, live=True)]),
        # less: start over, and say so
        (5, {"ready": True, "started": True}, [0, 0.1], [ProbeResults(started=None, ready=False, live=True)]),
        # unknown to the API: a new container
        (60, None, [0, 0.1], []),
    ],
)
async def test_after_an_agent_restart(
    world: World, age: float, status: Any, first_runs: list[float], expected: list[ProbeResults]
) -> None:
    """7.2: Ready survives an agent restart."""
    probes = {"startupProbe": {"tcpSocket": {"port": 1}}, "readinessProbe": HTTP, "livenessProbe": {"exec": {}}}
    said = {
        "name": "main",
        "image": "",
        "imageID": "",
        "restartCount": 0,
        "containerID": "x://main-0",
        **(status or {}),
    }
    pod = make_pod(probes, status={"containerStatuses": [said]} if status else {})
    world.answers["tcp"] = failure("no")
    world.sync(pod, seen(("main", 0, "running", START - timedelta(seconds=age))))
    assert [found for _, found in world.results] == expected
    await world.timers.advance(15)
    kind = "http" if expected and expected[0].ready else "tcp"
    assert [at for at, which, _ in world.runs if which == kind][:2] == first_runs


async def test_what_is_found_about_a_container_that_is_gone_counts_for_nothing(world: World) -> None:
    """7.2: results belong to a container ID: a probe that ends after its container was replaced is dropped."""
    release = asyncio.Event()

    async def slow(probe: Any, target: Any) -> Outcome:
        world.runs.append((world.timers.now, "slow", target.container_id))
        if target.container_id == "main-0":
            await release.wait()
        return failure("late") if target.container_id == "main-0" else success()

    world.manager._runner = slow
    pod = make_pod({"livenessProbe": {**HTTP, "failureThreshold": 1, "periodSeconds": 1}})
    world.sync(pod, seen(("main", 0, "running", START)))
    await world.timers.advance(1)
    world.sync(pod, seen(("main", 1, "running", world.now)))
    release.set()
    await world.timers.advance(2)
    assert world.results == []
    assert [name for _, _, name in world.runs] == ["main-0", "main-1", "main-1"]


async def test_a_container_that_leaves_the_spec_is_probed_no_more(world: World) -> None:
    """Workers follow the spec."""
    world.sync(make_pod({"livenessProbe": HTTP}), seen(("main", 0, "running", START)))
    world.sync(make_pod({}), seen(("main", 0, "running", START)))
    await world.timers.advance(30)
    assert (world.manager.workers, world.runs) == (0, [])
