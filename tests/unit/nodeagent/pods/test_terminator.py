"""nodeagent.pods.terminator: in what order containers are stopped, with how much grace left.

Source: docs/facts/pod-lifecycle.md 8 and 9.
"""

import asyncio
import dataclasses
from typing import Any

import pytest
from lightkube.models.core_v1 import LifecycleHandler
from recorded_runtime import RecordedRuntime, runtime_of
from typing_extensions import override

from nodeagent.pods.hooks import HookError
from nodeagent.pods.teardown import Teardown
from nodeagent.pods.terminator import StillRunning, Terminator
from nodeagent.podspec.containers import AnyContainer
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.errors import Internal
from runtimes.registry import Runtime

HOOKED = {"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}


class World:
    """A runtime, hooks, events and a clock, in one diary. A hook takes the seconds that it is told to."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.service = RecordedRuntime(self.diary)
        self.runtime = runtime_of(self.service)
        self.seconds = 0.0
        self.hook_seconds: dict[str, float] = {}
        self.hook_error: Exception | None = None
        self.terminator = Terminator(self, self, clock=lambda: self.seconds)

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.diary.append(f"{reason}: {message} [{field_path}]")

    async def run(
        self, pod: AgentPod, container: AnyContainer, container_id: str, handler: LifecycleHandler, runtime: Runtime
    ) -> None:
        self.diary.append(f"hook of {container.name}")
        self.seconds += self.hook_seconds.get(container.name, 0.0)
        if self.hook_error is not None:
            raise self.hook_error

    async def running(self, pod: AgentPod, *names: str) -> dict[str, str]:
        """These containers run in the pod's sandbox; their ids by name."""
        labels = {"io.kubernetes.pod.uid": pod.uid}
        config = cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name="web"), labels=labels)
        sandbox = await self.service.run_pod_sandbox(cri.RunPodSandboxRequest(config=config))
        ids = {}
        for name in names:
            own = cri.ContainerConfig(
                metadata=cri.ContainerMetadata(name=name), labels={**labels, "io.kubernetes.container.name": name}
            )
            made = await self.service.create_container(
                cri.CreateContainerRequest(pod_sandbox_id=sandbox.pod_sandbox_id, config=own)
            )
            await self.service.start_container(cri.StartContainerRequest(container_id=made.container_id))
            ids[name] = str(made.container_id)
        self.diary.clear()
        return ids

    def teardown(self, pod: AgentPod, grace_seconds: int = 30) -> Teardown:
        return Teardown(pod=pod, uid=pod.uid, grace_seconds=grace_seconds, runtimes=(self.runtime,), keep_records=True)


@pytest.fixture
async def world() -> World:
    return World()


async def test_the_hook_comes_first_and_takes_of_the_grace_period(kit: Any, world: World) -> None:
    """Event, preStop, then the stop with what is left; never less than two seconds."""
    pod = kit.pod([{"name": "c", **HOOKED}], terminationGracePeriodSeconds=30)
    ids = await world.running(pod, "c")
    world.hook_seconds["c"] = 12.0
    await world.terminator.kill_container(world.runtime, pod, ids["c"], "c")
    assert world.diary == ["Killing: Stopping container c [spec.containers{c}]", "hook of c", "stop c within 18 s"]
    ids = await world.running(pod, "c")
    world.hook_seconds["c"] = 29.5
    await world.terminator.kill_container(world.runtime, pod, ids["c"], "c")
    assert world.diary[-1] == "stop c within 2 s"


async def test_a_hook_that_fails_stops_no_stop(kit: Any, world: World) -> None:
    """It is told, and the container ends all the same."""
    pod = kit.pod([{"name": "c", **HOOKED}], terminationGracePeriodSeconds=30)
    ids = await world.running(pod, "c")
    world.hook_error = HookError("no such file")
    await world.terminator.kill_container(world.runtime, pod, ids["c"], "c", message="because")
    assert world.diary == [
        "Killing: because [spec.containers{c}]",
        "hook of c",
        "FailedPreStopHook: PreStopHook failed [spec.containers{c}]",
        "stop c within 30 s",
    ]


@pytest.mark.parametrize(("options", "expected"), [({"run_pre_stop": False}, 30), ({"grace_seconds": 0}, 2)])
async def test_when_no_hook_runs(kit: Any, world: World, options: Any, expected: int) -> None:
    """The caller says so, or there is no time for it."""
    pod = kit.pod([{"name": "c", **HOOKED}], terminationGracePeriodSeconds=30)
    ids = await world.running(pod, "c")
    await world.terminator.kill_container(world.runtime, pod, ids["c"], "c", **options)
    assert world.diary[1:] == [f"stop c within {expected} s"]


async def test_what_is_gone_has_been_stopped(kit: Any, world: World) -> None:
    """A container that the runtime does not know, and one that the pod does not know any more."""
    pod = kit.pod(["c"], terminationGracePeriodSeconds=30)
    ids = await world.running(pod, "c", "unknown")
    await world.service.remove_container(cri.RemoveContainerRequest(container_id=ids["c"]))
    world.diary.clear()
    await world.terminator.kill_container(world.runtime, pod, ids["c"], "c")
    await world.terminator.kill_container(world.runtime, pod, ids["unknown"], "unknown")
    assert world.diary[1:] == [f"stop {ids['c']} within 30 s", "stop unknown within 30 s"]


async def test_sidecars_stop_after_those_they_serve(kit: Any, world: World) -> None:
    """Regular containers side by side; then the sidecars, the last of them first; preStop hooks all at once."""
    pod = kit.pod(["a", "b"], init=[{"name": "+one", **HOOKED}, "+two"])
    await world.running(pod, "one", "two", "a", "b")
    gates = {name: asyncio.Event() for name in ("a", "b", "one", "two")}
    for name, gate in gates.items():
        world.service.gates[f"stop {name} within 30 s"] = gate
    task = asyncio.create_task(world.terminator.kill_pod(world.runtime, world.teardown(pod)))

    async def stopping() -> list[str]:
        for _ in range(30):
            await asyncio.sleep(0)
        return [line for line in world.diary if line.startswith("stop") and not line.endswith("ends")]

    assert sorted(await stopping()) == ["stop a within 30 s", "stop b within 30 s"]
    assert "hook of one" in world.diary
    gates["a"].set()
    assert len(await stopping()) == 2
    gates["b"].set()
    assert (await stopping())[2:] == ["stop two within 30 s"]
    gates["two"].set()
    assert (await stopping())[3:] == ["stop one within 30 s"]
    gates["one"].set()
    await task


async def test_a_sidecar_waits_no_longer_than_the_grace_period(kit: Any, world: World) -> None:
    """Then it is stopped at once, though a container that it serves still runs."""
    pod = kit.pod(["a"], init=["+side"])
    await world.running(pod, "side", "a")
    world.service.gates["stop a within 2 s"] = asyncio.Event()
    task = asyncio.create_task(world.terminator.kill_pod(world.runtime, world.teardown(pod, grace_seconds=0)))
    async with asyncio.timeout(5):
        while "stop side within 2 s" not in world.diary:  # noqa: ASYNC110  # the diary has no event
            await asyncio.sleep(0)
    world.service.gates["stop a within 2 s"].set()
    await task


class Deaf(RecordedRuntime):
    """Says that it has stopped what it has not."""

    @override
    async def stop_container(self, request: cri.StopContainerRequest) -> cri.StopContainerResponse:
        return cri.StopContainerResponse()


async def test_a_survivor_is_named(kit: Any, world: World) -> None:
    """Nothing of the pod is given back while a container runs."""
    pod = kit.pod(["c"])
    world.service = Deaf(world.diary)
    world.runtime = runtime_of(world.service)
    await world.running(pod, "c")
    with pytest.raises(StillRunning, match="containers still running after they were stopped: c"):
        await world.terminator.kill_pod(world.runtime, world.teardown(pod))


async def test_a_stop_that_fails_lets_the_others_go_on(kit: Any, world: World) -> None:
    """The error comes out; whoever waited for the failed one's turn has had its own."""
    pod = kit.pod(["a"], init=["+side"])
    await world.running(pod, "side", "a")
    world.service.faults["stop a within 30 s"] = Internal("no")
    with pytest.raises(ExceptionGroup) as caught:
        await world.terminator.kill_pod(world.runtime, world.teardown(pod))
    assert [str(error) for error in caught.value.exceptions] == ["no"]


async def test_nothing_runs_nothing_is_stopped(kit: Any, world: World) -> None:
    """Other pods' containers are none of its."""
    await world.running(kit.pod(["c"], meta={"uid": "uid-2"}), "c")
    await world.terminator.kill_pod(world.runtime, world.teardown(kit.pod(["c"])))
    assert world.diary == []


async def test_a_node_that_cannot_wait(kit: Any, world: World) -> None:
    """No hook, no turn, no time: SIGKILL for all at once, sidecars too; it is told all the same."""
    pod = kit.pod([{"name": "a", **HOOKED}], init=[{"name": "+side", **HOOKED}])
    await world.running(pod, "side", "a")
    await world.terminator.kill_pod(world.runtime, dataclasses.replace(world.teardown(pod), at_once=True))
    assert sorted(world.diary) == [
        "Killing: Stopping container a [spec.containers{a}]",
        "Killing: Stopping container side [spec.initContainers{side}]",
        "stop a within 0 s",
        "stop side within 0 s",
    ]
