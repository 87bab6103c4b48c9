"""nodeagent.pods.steps.sandbox: a new sandbox, one that is there already, one that cannot be made; and the end of all."""

from typing import Any

import pytest
from recorded_runtime import RecordedRuntime, runtime_of

from nodeagent.pods.rules.model import Observed, Plan
from nodeagent.pods.slot import NotProvided
from nodeagent.pods.steps.contract import StepError, SyncPass
from nodeagent.pods.steps.sandbox import SandboxStep
from proto import cri_pb2 as cri
from runtimes.errors import Internal, InvalidArgument, RuntimeFault, Timeout, Unavailable


def step(world: Any) -> SandboxStep:
    return SandboxStep(world, world, world)


def work_of(world: Any, pod: Any, **more: Any) -> SyncPass:
    work: SyncPass = world.work(pod, **more)
    work.cgroup_parent.set("/pod")
    return work


async def made(world: Any, pod: Any, attempt: int = 0) -> str:
    """A sandbox of the pod in the runtime; its id."""
    config = world.sandbox(pod, attempt=attempt, cgroup_parent="/pod")
    answer = await world.service.run_pod_sandbox(cri.RunPodSandboxRequest(config=config))
    world.diary.clear()
    return str(answer.pod_sandbox_id)


async def test_a_new_sandbox_gives_its_id_and_addresses(kit: Any, world: Any) -> None:
    """In the pod's cgroup; the owner is told first what the configuration leaves out."""
    work = work_of(world, kit.pod())
    await step(world).run(work)
    assert world.diary == ["warn", "run sandbox web/0"]
    listed = await world.service.list_pod_sandbox(cri.ListPodSandboxRequest())
    assert await work.sandbox_id.get() == listed.items[0].id
    assert len(await work.pod_ips.get()) == 1


async def test_one_in_place_of_another_says_so(kit: Any, world: Any) -> None:
    """An event; the old one is stopped, and removed where it has no containers, before the new one is made."""
    pod = kit.pod()
    old = await made(world, pod)
    observed = Observed(sandboxes=(cri.PodSandboxStatus(id=old, state=cri.SANDBOX_NOTREADY),))
    work = work_of(world, pod, sandbox=1, observed=observed)
    work.plan = Plan(create_sandbox=1, sandbox_changed=True)
    await step(world).run(work)
    assert world.diary == [
        "SandboxChanged",
        "stop sandbox web/0",
        "remove sandbox web/0",
        "warn",
        "run sandbox web/1",
    ]


@pytest.mark.parametrize("host_network", [False, True])
async def test_one_that_is_there_is_used(kit: Any, world: Any, host_network: bool) -> None:
    """With its addresses, or the node's; nothing is asked of the runtime."""
    sandbox = kit.sandbox(2, ip="10.0.0.7", extra=("fd00::7",))
    work = work_of(world, kit.pod(hostNetwork=host_network), sandbox=None, observed=kit.observed(sandboxes=(sandbox,)))
    await step(world).run(work)
    expected = ("192.168.0.1",) if host_network else ("10.0.0.7", "fd00::7")
    assert (await work.sandbox_id.get(), await work.pod_ips.get()) == ("sandbox-2", expected)
    assert world.diary == []


@pytest.mark.parametrize(
    ("line", "error"), [("run sandbox web/0", Internal("no")), ("sandbox configuration", ValueError("no"))]
)
async def test_one_that_cannot_be_made_is_told(kit: Any, world: Any, line: str, error: Exception) -> None:
    """Whether the runtime refuses or the pod asks for what cannot be expressed."""
    world.faults[line] = error
    with pytest.raises(StepError) as caught:
        await step(world).run(work_of(world, kit.pod()))
    assert (str(caught.value), caught.value.event_reason) == (
        "Failed to create pod sandbox: no",
        "FailedCreatePodSandBox",
    )


@pytest.mark.parametrize(
    ("error", "retry_seconds"),
    [
        (Unavailable('plugin type="bridge" failed (add): busy'), 1.0),
        (Timeout('plugin type="bridge" failed (add): no answer within 120s, killed'), None),
        (InvalidArgument("no such namespace"), None),
        (Internal("broken"), None),
    ],
)
async def test_what_says_try_again_is_tried_again_soon(
    kit: Any, world: Any, error: RuntimeFault, retry_seconds: float | None
) -> None:
    """What cannot work just now (a CNI plugin's code 11) is asked again in a second, all else, a time-out too, after the usual
    pause; the event has the words of who failed."""
    world.faults["run sandbox web/0"] = error
    with pytest.raises(StepError) as caught:
        await step(world).run(work_of(world, kit.pod()))
    found = caught.value
    assert (found.event_reason, found.retry_seconds) == ("FailedCreatePodSandBox", retry_seconds)
    assert str(found) == f"Failed to create pod sandbox: {error}"


@pytest.mark.parametrize("host_network", [False, True])
async def test_a_network_that_went_down_meanwhile_is_told_as_such(kit: Any, world: Any, host_network: bool) -> None:
    """By what the runtime says of its network, tried again soon; a pod of the host's network has nothing to do with it."""
    world.network_problem = "no plugin"
    world.faults["run sandbox web/0"] = Internal("no")
    with pytest.raises(StepError) as caught:
        await step(world).run(work_of(world, kit.pod(hostNetwork=host_network)))
    found = (str(caught.value), caught.value.event_reason, caught.value.retry_seconds)
    assert found == (
        ("Failed to create pod sandbox: no", "FailedCreatePodSandBox", None)
        if host_network
        else ("network is not ready: no plugin", "NetworkNotReady", 1.0)
    )


async def test_without_a_cgroup_there_is_no_sandbox(kit: Any, world: Any) -> None:
    """The cgroup step tells why."""
    work = world.work(kit.pod())
    work.withhold(["cgroup_parent"])
    with pytest.raises(NotProvided):
        await step(world).run(work)
    assert world.diary == ["warn"]


async def test_the_end_stops_all_of_the_pods_sandboxes(kit: Any, world: Any) -> None:
    """In every runtime, and those of no other pod; they stay for their containers' exit codes."""
    pod, other_pod = kit.pod(), kit.pod(meta={"uid": "uid-2"})
    second = RecordedRuntime(world.diary)
    await made(world, pod)
    await made(world, pod, attempt=1)
    await made(world, other_pod, attempt=7)
    config = world.sandbox(pod, attempt=9, cgroup_parent="/pod")
    await second.run_pod_sandbox(cri.RunPodSandboxRequest(config=config))
    world.diary.clear()
    await step(world).undo(world.teardown(pod, runtimes=(world.runtime, runtime_of(second, "second"))))
    assert sorted(world.diary) == ["stop sandbox web/0", "stop sandbox web/1", "stop sandbox web/9"]
    assert len((await world.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items) == 3


class Down(RecordedRuntime):
    """A runtime that does not answer."""

    async def list_pod_sandbox(self, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse:
        raise Unavailable("down")


async def test_a_runtime_that_is_down_holds_up_its_own_pods_only(kit: Any, world: Any) -> None:
    """What another one may hold of the pod is an orphan when it is back; its own must have let go."""
    pod = kit.pod()
    await made(world, pod)
    down = runtime_of(Down(), "down")
    await step(world).undo(world.teardown(pod, runtimes=(world.runtime, down)))
    assert world.diary == ["stop sandbox web/0"]
    with pytest.raises(Unavailable):
        await step(world).undo(world.teardown(pod, runtimes=(world.runtime, down), handler="down"))
    with pytest.raises(Unavailable):
        await step(world).undo(world.teardown(pod, runtimes=(down,), handler=""))
