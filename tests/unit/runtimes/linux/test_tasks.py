"""Work and the cancellation of whoever waits for it."""

import asyncio
import logging
import threading

import pytest

from runtimes.linux.tasks import Background, SingleFlight, end_tasks, leave_behind, run_blocking, to_the_end


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


async def test_what_ends_after_a_cancellation_is_its_cause() -> None:
    """The caller is cancelled, as it was asked for, and whoever looks finds what went wrong meanwhile."""
    go_on = asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        raise OSError("late")

    caller = asyncio.create_task(to_the_end(work()))
    await asyncio.sleep(0)
    caller.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await caller
    assert repr(caught.value.__cause__) == "OSError('late')"


async def test_a_deadline_ends_a_caller_only_after_the_work() -> None:
    """`asyncio.timeout` around it still says TimeoutError, when the work is done."""
    events: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        events.append("work ended")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await to_the_end(work())
    assert events == ["work ended"]


async def test_what_is_left_behind_is_undone() -> None:
    """The one who gives up does not wait; what the work brings later is given back."""
    go_on, undone = asyncio.Event(), asyncio.Queue[int]()

    async def work() -> int:
        await go_on.wait()
        return 7

    caller = asyncio.create_task(leave_behind(work(), undone.put_nowait))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    assert await undone.get() == 7
    assert await leave_behind(work(), undone.put_nowait) == 7
    assert undone.empty()


async def test_tasks_have_cleaned_up_before_what_follows() -> None:
    """Also when whoever ends them is cancelled meanwhile: tasks, then `then`, then the caller."""
    events: list[str] = []

    async def task() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            events.append("task ended")

    async def then() -> None:
        await asyncio.sleep(0)
        events.append("then")

    running = asyncio.create_task(task())
    await asyncio.sleep(0)
    caller = asyncio.create_task(end_tasks(running, then=then))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert events == ["task ended", "then"]


async def test_work_in_the_background_outlives_its_caller() -> None:
    """An agent that stops in the middle of a start finishes it, and waits for that: the container is not its victim."""
    begun, go_on, events = asyncio.Event(), asyncio.Event(), list[str]()
    background = Background()

    async def work() -> str:
        begun.set()
        await go_on.wait()
        events.append("done")
        return "result"

    caller = asyncio.create_task(background.carry_through(work(), "start"))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await background.drain(0)
    assert events == []
    go_on.set()
    await background.drain(60)
    assert events == ["done"]
    assert await background.carry_through(work(), "again") == "result"


async def test_failures_in_the_background_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for what is spawned, so the log has its error under the work's name; a caller gets his own error instead."""
    background = Background()

    async def fail() -> None:
        raise OSError("no")

    with caplog.at_level(logging.ERROR):
        background.spawn(fail(), "moving the monitor")
        await background.drain(60)
        with pytest.raises(OSError, match="no"):
            await background.carry_through(fail(), "start")
    assert [record.getMessage() for record in caplog.records] == ["moving the monitor failed"]


async def test_single_flight_is_one_for_all() -> None:
    """However many ask at once, the work is done once; later it is done again."""
    flights: SingleFlight[str, int] = SingleFlight()
    runs = 0
    gate = asyncio.Event()

    async def work() -> int:
        nonlocal runs
        runs += 1
        await gate.wait()
        return runs

    waiting = [asyncio.create_task(flights.join("a", work)) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*waiting) == [1] * 5
    assert await flights.join("a", work) == 2


async def test_single_flight_errors_are_for_all() -> None:
    """An error reaches everybody, and the next attempt is a new one."""
    flights: SingleFlight[str, int] = SingleFlight()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError("no")

    results = await asyncio.gather(*(flights.join("a", fail) for _ in range(3)), return_exceptions=True)
    assert [str(r) for r in results] == ["no"] * 3
    assert "a" not in flights


async def test_single_flight_is_left_only_when_its_work_has_ended() -> None:
    """The last one who waits stays until the cancelled work has cleaned up, also when he is cancelled again meanwhile."""
    flights: SingleFlight[str, None] = SingleFlight()
    cleaning, cleaned = asyncio.Event(), asyncio.Event()
    diary: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await cleaned.wait()
            diary.append("cleaned up")

    async def wait_for_it() -> None:
        try:
            await flights.join("a", work)
        finally:
            diary.append("left")

    waiting = asyncio.create_task(wait_for_it())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await cleaning.wait()
    waiting.cancel()
    await asyncio.sleep(0)
    cleaned.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert diary == ["cleaned up", "left"]


async def test_single_flight_last_one_out_cancels() -> None:
    """One who leaves does not disturb the others; when the last leaves, the work ends before his call does."""
    flights: SingleFlight[str, None] = SingleFlight()
    log: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("ended")

    first, second = (asyncio.create_task(flights.join("a", work)) for _ in range(2))
    for _ in range(3):
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (log, "a" in flights) == ([], True)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (log, "a" in flights) == (["ended"], False)


async def test_single_flight_keys_are_apart() -> None:
    """Different keys run side by side."""
    flights: SingleFlight[int, int] = SingleFlight()

    async def give(value: int) -> int:
        await asyncio.sleep(0)
        return value

    assert await asyncio.gather(*(flights.join(n, lambda n=n: give(n)) for n in range(3))) == [0, 1, 2]  # type: ignore[misc]
