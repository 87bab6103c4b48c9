"""Blocking work and cancellation."""

import asyncio
import threading

import pytest

from runtimes.linux.blocking import run_blocking


async def test_results_and_errors_come_through() -> None:
    """Arguments go in, the value or the exception comes out."""
    assert await run_blocking(int, "ff", base=16) == 255
    with pytest.raises(ValueError, match="invalid literal"):
        await run_blocking(int, "x")


async def test_a_cancelled_caller_waits_for_the_end_of_the_work() -> None:
    """What undoes the work never meets it half done, however often the caller is cancelled."""
    release, events = threading.Event(), []

    def work() -> None:
        release.wait()
        events.append("work ended")

    async def caller() -> None:
        try:
            await run_blocking(work)
        finally:
            events.append("caller ended")

    task = asyncio.create_task(caller())
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == ["work ended", "caller ended"]


async def test_an_error_after_cancellation_is_not_lost_in_the_log() -> None:
    """The caller sees its cancellation; the error of the abandoned work is nobody's unhandled exception."""
    release = threading.Event()

    def work() -> None:
        release.wait()
        raise OSError("late")

    task = asyncio.create_task(run_blocking(work))
    await asyncio.sleep(0)
    task.cancel()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
