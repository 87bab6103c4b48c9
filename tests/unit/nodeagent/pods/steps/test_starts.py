"""nodeagent.pods.steps.starts: the order in which a pod's containers come up, and what a failure or an end leaves."""

import asyncio
from typing import Any

import pytest

from nodeagent.pods.rules.model import StartFailure
from nodeagent.pods.steps import starts
from nodeagent.pods.steps.containers import Containers
from nodeagent.pods.steps.contract import Work
from nodeagent.pods.steps.engine import StepEngine
from nodeagent.pods.steps.images import Images
from nodeagent.pods.steps.sandbox import Sandbox
from nodeagent.pods.steps.starts import Starts
from runtimes.errors import Internal


def engine(world: Any) -> StepEngine:
    """The steps that start containers; those below them have done their work."""
    last = Starts(hosts=world, hooks=world, killer=world, events=world, paths=world.paths)
    return StepEngine(
        [world.below, Images(world), Sandbox(world, world, world), Containers(world, world, world.paths), last]
    )


async def until(world: Any, line: str) -> None:
    """Let all go on until the diary has the line."""
    for _ in range(100):
        if line in world.diary:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{line!r} not in {world.diary}")


HOOKED = {"name": "c", "lifecycle": {"postStart": {"exec": {"command": ["x"]}}}}


async def cancelled_at(world: Any, pod: Any, work: Work, line: str, *, times: int = 1) -> list[str]:
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
