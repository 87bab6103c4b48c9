"""nodeagent.pods.current_work: one piece of work at a time, and what becomes of each."""

import asyncio
from collections.abc import Callable

import pytest

from nodeagent.pods.current_work import CurrentWork, WorkKind


class World:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.work = CurrentWork(
            failed=lambda doing, error: self.told.append(f"{doing.value} failed: {error}"),
            ended=lambda: self.told.append(f"ended, {self.work.doing.value}"),
        )

    async def hang(self) -> None:
        """Takes its time when it is cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            self.told.append("cancelled")
            await asyncio.sleep(0)
            self.told.append("cleaned up")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_it_is_idle_again_when_the_work_has_ended() -> None:
    """Whoever is told finds nothing under way; an error is told first."""
    world = World()

    async def fail() -> None:
        raise OSError("no disk")

    async def succeed() -> None:
        return

    for doing, body in ((WorkKind.PASS, succeed), (WorkKind.STOP, fail)):
        world.work.begin(doing, body)
        assert (world.work.doing, world.work.idle) == (doing, False)
        await settle()
    assert world.told == ["ended, nothing", "stop failed: no disk", "ended, nothing"]


@pytest.mark.parametrize("doing", [WorkKind.PASS, WorkKind.STOP])
async def test_work_is_given_up_once(doing: WorkKind) -> None:
    """However often that is asked for, its clean-up is not disturbed; it ends without an error."""
    world = World()
    world.work.begin(doing, world.hang)
    await settle()
    for _ in range(3):
        world.work.give_up(doing)
    assert world.work.doing is WorkKind.GIVEN_UP
    await asyncio.sleep(0)
    world.work.give_up(doing)
    await settle()
    assert world.told == ["cancelled", "cleaned up", "ended, nothing"]


@pytest.mark.parametrize("doing", [WorkKind.STOP, WorkKind.RELEASE, WorkKind.FORGET])
async def test_only_a_pass_is_given_up(doing: WorkKind) -> None:
    """What ends the pod goes on."""
    world = World()
    world.work.begin(doing, world.hang)
    await settle()
    world.work.give_up(WorkKind.PASS)
    await settle()
    assert (world.told, world.work.doing) == ([], doing)
    await world.work.leave()


@pytest.mark.parametrize("before", [lambda work: None, lambda work: work.give_up(WorkKind.PASS)])
async def test_who_leaves_waits_for_the_end(before: Callable[[CurrentWork], None]) -> None:
    """Of a pass that was given up, too; with nothing under way there is nothing to wait for."""
    world = World()
    await world.work.leave()
    world.work.begin(WorkKind.PASS, world.hang)
    await settle()
    before(world.work)
    await world.work.leave()
    assert world.work.idle
    assert world.told[-1] == "ended, nothing"
