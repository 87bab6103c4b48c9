"""nodeagent.pods.carrying: work that outlasts the cancellation of who waits for it, within bounds."""

import asyncio
import logging

import pytest

from nodeagent.pods.carrying import carry, until_ended


async def test_an_error_is_the_callers() -> None:
    """Without a cancellation it is an ordinary await."""

    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await carry(work(), "work", grace_seconds=1.0)


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
            await carry(work(), "work", grace_seconds=grace_seconds)
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


async def test_tasks_are_waited_for_to_the_last() -> None:
    """A cancellation meanwhile is raised when all have ended, not before; their errors are not."""
    go = asyncio.Event()

    async def fail() -> None:
        await go.wait()
        raise OSError("no")

    inner = [asyncio.create_task(fail()), asyncio.create_task(go.wait())]
    outer = asyncio.create_task(until_ended(inner))
    await asyncio.sleep(0)
    outer.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not outer.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await outer
    assert all(task.done() for task in inner)
