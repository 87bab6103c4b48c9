"""nodeagent.pods.steps.starts: the order in which a pod's containers come up, and what a failure or an end leaves."""

import asyncio
from typing import Any

import pytest
from recorded_runtime import RecordedRuntime, runtime_of

from nodeagent.images.manager import ImageFailure
from nodeagent.pods.hooks import HookError
from nodeagent.pods.rules.model import StartFailure
from nodeagent.pods.steps import starts
from nodeagent.pods.steps.containers import ContainersStep
from nodeagent.pods.steps.contract import SyncPass
from nodeagent.pods.steps.engine import StepEngine
from nodeagent.pods.steps.images import ImagesStep
from nodeagent.pods.steps.sandbox import SandboxStep
from nodeagent.pods.steps.starts import StartsStep
from nodeagent.pods.translation.environment import ConfigError
from nodeagent.podspec.containers import ContainerKind
from runtimes.errors import Internal


class Counted:
    """Every try, in its order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pod(self) -> None:
        self.told.append("pod")

    def pod_failed(self) -> None:
        self.told.append("pod failed")

    def container(self, kind: ContainerKind) -> None:
        self.told.append(kind.value)

    def container_failed(self, kind: ContainerKind, reason: str) -> None:
        self.told.append(f"{kind.value} failed: {reason}")


def engine(world: Any, counted: Counted | None = None) -> StepEngine:
    """The steps that start containers; those below them have done their work."""
    last = StartsStep(hosts=world, hooks=world, terminator=world, events=world, paths=world.paths, observer=counted)
    sandbox = SandboxStep(world, world, world, counted)
    return StepEngine([world.below, ImagesStep(world), sandbox, ContainersStep(world, world, world.paths), last])


async def until(world: Any, line: str) -> None:
    """Let all go on until the diary has the line."""
    for _ in range(100):
        if line in world.diary:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{line!r} not in {world.diary}")


HOOKED = {"name": "c", "lifecycle": {"postStart": {"exec": {"command": ["x"]}}}}


async def cancelled_at(world: Any, pod: Any, work: SyncPass, line: str, *, times: int = 1) -> list[str]:
    """Cancel the pass when the diary has the line, and stop the pod then; the diary from that line on."""
    steps = engine(world)

    async def supervised() -> None:
        try:
            await steps.carry_out(work)
        except asyncio.CancelledError:
            world.diary.append("pass ended")
        await steps.stop(world.teardown(pod))

    task = asyncio.create_task(supervised())
    await until(world, line)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    for gate in world.gates.values():
        asyncio.get_running_loop().call_later(0.01, gate.set)
    await task
    return list(world.diary[world.diary.index(line) :])


@pytest.mark.parametrize("times", [1, 3])
async def test_a_start_that_began_ends_before_its_undo(kit: Any, world: Any, times: int) -> None:
    """A pass that is cancelled, however often, ends when the start has; what stops the container never meets it. The start
    is recorded.
    """
    pod = kit.pod(["c", "d"])
    work = world.work(pod, start=["c", "d"])
    world.gates["start c"] = asyncio.Event()
    told = await cancelled_at(world, pod, work, "start c", times=times)
    assert told == [
        "start c",
        "start c ends",
        "Started",
        "pass ended",
        "kill pod within 5 s",
        "stop sandbox web/0",
    ]
    assert list(work.started) == ["c"]


async def test_a_start_that_fails_late_is_recorded(kit: Any, world: Any) -> None:
    """Though the pass was cancelled meanwhile: the pod's last status tells why the container never ran."""
    pod = kit.pod(["c"])
    work = world.work(pod, start=["c"])
    world.gates["start c"] = asyncio.Event()
    world.faults["start c"] = Internal("no such file")
    told = await cancelled_at(world, pod, work, "start c")
    assert told[:4] == ["start c", "start c ends", "Warning Failed: Error: no such file", "pass ended"]
    assert (work.failures, work.started) == (
        {"c": StartFailure(reason="RunContainerError", message="no such file")},
        {},
    )


async def test_a_container_with_a_hook_is_hooked_until_that_has_ended(kit: Any, world: Any) -> None:
    """From before it is started on; one without a hook never is."""
    work = world.work(kit.pod([HOOKED, "d"]), start=["c", "d"])
    world.gates["start c"] = world.gates["hook of c"] = asyncio.Event()
    task = asyncio.create_task(engine(world).carry_out(work))
    await until(world, "start c")
    hooked = set(work.hooked)
    assert len(hooked) == 1
    world.gates.pop("start c").set()
    world.gates["hook of c"] = asyncio.Event()
    await until(world, "hook of c")
    assert work.hooked == hooked
    world.gates["start d"] = asyncio.Event()
    world.gates["hook of c"].set()
    await until(world, "start d")
    assert work.hooked == set()
    world.gates["start d"].set()
    await task


async def test_a_hook_that_runs_when_its_pod_ends(kit: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has some seconds to end; then it is cancelled, and only then the container is stopped."""
    pod = kit.pod([HOOKED])
    world.gates["hook of c"] = asyncio.Event()
    work = world.work(pod, start=["c"])
    told = await cancelled_at(world, pod, work, "hook of c")
    assert told[:4] == ["hook of c", "hook of c ends", "pass ended", "kill pod within 5 s"]
    world.diary.clear()
    monkeypatch.setattr(starts, "HOOK_GRACE_SECONDS", 0.0)
    world.gates["hook of c"] = asyncio.Event()
    work = world.work(pod, start=["c"])
    told = await cancelled_at(world, pod, work, "hook of c")
    assert told[:4] == ["hook of c", "hook of c cancelled", "pass ended", "kill pod within 5 s"]
    assert list(work.started) == ["c"]


async def test_all_side_by_side_and_started_in_order(kit: Any, world: Any) -> None:
    """Images come first, and all at once; each container is made from its image; they start in the order of the spec."""
    pod = kit.pod(["c", HOOKED | {"name": "d"}])
    work = world.work(pod, start=["c", "d"])
    assert await engine(world).carry_out(work) == []
    (address,) = await work.pod_ips.get()
    for name in ("c", "d"):
        own = [line for line in world.diary if line.endswith(f" {name}") and "hook" not in line]
        assert own == [f"image of {name}", f"configuration of {name}", f"create {name}", f"start {name}"]
    assert max(world.diary.index("image of c"), world.diary.index("image of d")) < world.diary.index("create c")
    started = [line for line in world.diary if line.startswith(("hosts", "start", "Started", "hook"))]
    assert started == [
        f"hosts {address}",
        "start c",
        "Started",
        f"hosts {address}",
        "start d",
        "Started",
        "hook of d",
    ]
    assert (list(work.started), work.failures) == (["c", "d"], {})


@pytest.mark.parametrize(
    ("line", "error", "reason", "event", "retry_seconds"),
    [
        ("image of c", ImageFailure("ErrImagePull", "no"), "ErrImagePull", "ErrImagePull", 1.0),
        (
            "image of c",
            ImageFailure("ImagePullBackOff", "no", retry_after_seconds=40.0),
            "ImagePullBackOff",
            "ImagePullBackOff",
            40.0,
        ),
        ("configuration of c", ConfigError("no"), "CreateContainerConfigError", "no", None),
        ("create c", Internal("no"), "CreateContainerError", "no", None),
        ("start c", Internal("no"), "RunContainerError", "no", None),
        ("hook of c", HookError("no"), "PostStartHookError", "no", None),
    ],
)
async def test_a_container_that_fails_holds_up_no_other(
    kit: Any, world: Any, line: str, error: Exception, reason: str, event: str, retry_seconds: float | None
) -> None:
    """Its status tells why, an event too, and when it is tried again; the next ones start all the same."""
    pod = kit.pod([HOOKED, "d"])
    world.faults[line] = error
    work, counted = world.work(pod, start=["c", "d"]), Counted()
    assert await engine(world, counted).carry_out(work) == []
    assert counted.told == ["pod", "containers", f"containers failed: {reason}", "containers"]
    assert work.failures == {"c": StartFailure(reason=reason, message="no")}
    assert work.retry_seconds == ({} if retry_seconds is None else {"c": retry_seconds})
    assert list(work.started) == ["d"]
    assert f"Warning Failed: Error: {event}" in world.diary
    assert [entry for entry in world.diary if entry.startswith("start ")][-1] == "start d"


async def test_nothing_starts_behind_an_init_container_that_failed(kit: Any, world: Any) -> None:
    """Its failure ends the pass; a sidecar's does not."""
    pod = kit.pod(["main"], init=["first"])
    world.faults["start first"] = Internal("no")
    work = world.work(pod, start=["first", "main"])
    assert await engine(world).carry_out(work) == []
    assert (list(work.failures), work.started) == (["first"], {})
    pod = kit.pod(["main"], init=["+side"])
    world.faults["start side"] = Internal("no")
    work = world.work(pod, start=["side", "main"])
    assert await engine(world).carry_out(work) == []
    assert (list(work.failures), list(work.started)) == (["side"], ["main"])


async def test_a_failed_hook_stops_its_container(kit: Any, world: Any) -> None:
    """By the rules of the pod, and that is told; it fails the container also where the stop does not succeed."""
    pod = kit.pod([HOOKED])
    world.faults["hook of c"] = HookError("it said no")
    world.faults["kill c: FailedPostStartHook"] = Internal("it lives")
    work = world.work(pod, start=["c"])
    errors = await engine(world).carry_out(work)
    assert [str(error) for error in errors] == ["it lives"]
    assert world.diary[-3:] == [
        "Warning FailedPostStartHook: PostStartHook failed",
        "kill c: FailedPostStartHook",
        "Warning Failed: Error: it said no",
    ]
    assert (list(work.failures), work.started) == (["c"], {})


async def test_a_sandbox_that_came_to_nothing_is_told_once(kit: Any, world: Any) -> None:
    """Its containers have no failures of their own."""
    pod = kit.pod(["c"])
    world.faults["run sandbox web/0"] = Internal("no namespace")
    work, counted = world.work(pod, start=["c"]), Counted()
    errors = await engine(world, counted).carry_out(work)
    assert counted.told == ["pod", "pod failed"]
    assert [str(error) for error in errors] == ["Failed to create pod sandbox: no namespace"]
    assert (work.failures, work.started) == ({}, {})


async def test_logs_are_linked_for_collectors(kit: Any, world: Any) -> None:
    """Under the container's name and id, over a link that an earlier one left; without a log there is no link."""
    pod = kit.pod(["c", "d"])
    folder = world.paths.log_dir("ns", "web", pod.uid) / "c"
    folder.mkdir(parents=True)
    world.paths.container_logs_dir.mkdir(parents=True)
    (folder / "0.log").write_text("hello")
    work = world.work(pod, start=["c", "d"])
    assert await engine(world).carry_out(work) == []
    container_id = await work.created["c"].get()
    (link,) = world.paths.container_logs_dir.iterdir()
    assert (link.name, link.readlink()) == (f"web_ns_c-{container_id}.log", folder / "0.log")


async def test_the_end_reaches_every_runtime(kit: Any, world: Any) -> None:
    """All that may hold containers of the pod, each told the pod's grace period."""
    other = runtime_of(RecordedRuntime(), "other")
    await engine(world).stop(world.teardown(kit.pod(), runtimes=(world.runtime, other)))
    assert world.diary == ["kill pod within 5 s", "kill pod within 5 s"]
