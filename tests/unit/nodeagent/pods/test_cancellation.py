"""nodeagent.pods.cancellation: work that outlasts the cancellation of who waits for it, within bounds."""

import asyncio
import logging

import pytest

from nodeagent.pods.cancellation import carry_through, run_all


async def test_an_error_is_the_callers() -> None:
    """Without a cancellation it is an ordinary await."""

    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await carry_through(work(), "work", grace_seconds=1.0)


@pytest.mark.parametrize("grace_seconds", [0.0, 60.0])
async def test_a_cancelled_caller_goes_on_when_the_work_has_ended(
    grace_seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """By itself, or cancelled after its grace period; a second cancellation changes nothing, and an error is logged."""
    told: list[str] = []
    go = asyncio.Event()

    async def work() -> None:
        try:
            await go.wait()
        except asyncio.CancelledError:
            told.append("work cancelled")
            raise
        told.append("work ends")
        raise OSError("no disk")

    async def call() -> None:
        try:
            await carry_through(work(), "work", grace_seconds=grace_seconds)
        finally:
            told.append("caller ends")

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    if grace_seconds:
        assert told == []
        go.set()
    with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["work ends" if grace_seconds else "work cancelled", "caller ends"]
    expected = "work failed, and nobody waits for it any more" if grace_seconds else None
    assert [record.message for record in caplog.records if "failed" in record.message] == [expected] * bool(expected)


@pytest.mark.parametrize("times", [1, 3])
async def test_who_runs_several_goes_on_when_the_last_has_ended(times: int) -> None:
    """A cancellation, and every further one, reaches all of them and is raised when they have cleaned up."""
    told: list[str] = []

    async def hang(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            told.append(name)

    task = asyncio.create_task(run_all(hang(name) for name in ("a", "b")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(told) == ["a", "b"]


async def test_the_first_error_in_order_is_raised_when_all_have_ended() -> None:
    """One that fails ends no other."""
    told: list[str] = []

    async def fail(name: str, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        told.append(name)
        raise OSError(name)

    async def succeed() -> None:
        await asyncio.sleep(0)
        told.append("c")

    with pytest.raises(OSError, match="a"):
        await run_all([fail("a", 3), fail("b", 0), succeed()])
    assert told == ["b", "c", "a"]
    await run_all([])
