"""Parts at work: started, skipped, failing, dying, stopped. With parts that only tell what they do."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from nodeagent import os_error_retry
from nodeagent.assembly.board import Board, PartState
from nodeagent.assembly.parts import Part, Skip
from nodeagent.assembly.running import RunningParts, Scope, StillRunning

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    """A second later at each look."""

    def __init__(self) -> None:
        self.seconds = -1

    def __call__(self) -> datetime:
        self.seconds += 1
        return START + timedelta(seconds=self.seconds)


class Said(list[str]):
    """What happened, in order; a type of its own, so that parts can need it."""


class First: ...


class Second: ...


async def first(scope: Scope, said: Said) -> First:
    said.append("first starts")
    scope.stack.callback(said.append, "first undone")

    async def loop() -> None:
        said.append("first works")
        try:
            await asyncio.Event().wait()
        finally:
            said.append("first ends")

    scope.loop(loop, "a loop")
    return First()


async def second(scope: Scope, said: Said, first: First) -> Second:
    said.append("second starts")
    scope.stack.callback(said.append, "second undone")
    await asyncio.sleep(0)
    return Second()


def running(*parts: Part, said: Said | None = None) -> tuple[RunningParts, Board]:
    board = Board(Clock())
    return RunningParts(parts, {Said: said if said is not None else Said()}, board), board


def states(board: Board) -> dict[str, tuple[str, str]]:
    return {status.name: (str(status.state), status.reason) for status in board.statuses()}


async def test_start_and_stop() -> None:
    """By their needs, whatever the list; the stop is the reverse: of each part its loops end, then it is undone."""
    said = Said()
    parts, board = running(Part("second", second), Part("first", first), said=said)
    async with parts:
        await asyncio.sleep(0)
        assert states(board) == {"first": ("running", ""), "second": ("running", "")}
    assert said == [
        *("first starts", "first works", "second starts"),
        *("second undone", "first ends", "first undone"),
    ]
    assert states(board) == {"first": ("stopped", ""), "second": ("stopped", "")}


async def test_lines_within_a_part() -> None:
    """What can fail by itself stands below its part, whenever it was asked for, and is not the part's own state."""

    async def some(scope: Scope) -> First:
        scope.line("runtime runc").to(PartState.FAILED, "no such file")
        return First()

    parts, board = running(Part("runtimes", some), Part("second", second))
    async with parts:
        assert list(states(board).items()) == [
            ("runtimes", ("running", "")),
            ("runtime runc", ("failed", "no such file")),
            ("second", ("running", "")),
        ]


async def test_a_part_that_is_not_wanted() -> None:
    """It says why, and so do those that cannot do without it; those that can are started without."""
    got: list[object] = []

    async def unwanted(scope: Scope) -> First:
        raise Skip("enableIt: false")

    async def without(scope: Scope, first: First | None) -> None:
        got.append(first)

    said = Said()
    parts, board = running(Part("it", unwanted), Part("second", second), Part("other", without), said=said)
    async with parts:
        assert states(board) == {
            "it": ("skipped", "enableIt: false"),
            "second": ("skipped", "enableIt: false"),
            "other": ("running", ""),
        }
        assert board.summary() == "1 running; skipped: it (enableIt: false), second (enableIt: false)"
    assert (got, said) == ([None], [])


async def test_a_part_that_cannot_start() -> None:
    """Its error ends the start; those before it are stopped, and it is shown which it was."""
    said = Said()

    async def broken(scope: Scope, first: First) -> Second:
        scope.stack.callback(said.append, "half of it undone")
        raise ValueError("no way")

    parts, board = running(Part("first", first), Part("broken", broken), said=said)
    with pytest.raises(ValueError, match="no way"):
        async with parts:
            raise AssertionError("it runs")
    assert said == ["first starts", "first works", "half of it undone", "first ends", "first undone"]
    assert states(board) == {"first": ("stopped", ""), "broken": ("failed", "no way")}


async def test_a_part_that_dies() -> None:
    """A mistake in a loop ends the whole: `until` raises it, and everything is stopped in order."""
    said = Said()
    go = asyncio.Event()

    async def fragile(scope: Scope, first: First) -> None:
        async def loop() -> None:
            await go.wait()
            raise KeyError("a bug")

        scope.loop(loop, "fragile loop")

    parts, board = running(Part("first", first), Part("fragile", fragile), said=said)
    with pytest.raises(ExceptionGroup) as caught:
        async with parts:
            go.set()
            await parts.until(asyncio.Event())
    assert [str(error) for error in caught.value.exceptions] == ["'a bug'"]
    assert said[-2:] == ["first ends", "first undone"]
    assert states(board)["fragile"] == ("failed", "'a bug'")


async def test_a_death_ends_the_start_of_others() -> None:
    """Nobody waits for a part that takes long, or for ever, when the agent is to end anyway."""
    said = Said()
    begun = asyncio.Event()

    async def dies(scope: Scope) -> First:
        async def loop() -> None:
            await begun.wait()
            raise KeyError("a bug")

        scope.loop(loop, "fragile loop")
        return First()

    async def slow(scope: Scope, first: First) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            said.append("slow was cancelled")

    parts, _ = running(Part("dies", dies), Part("slow", slow), said=said)
    with pytest.raises(ExceptionGroup, match="TaskGroup"):
        async with asyncio.timeout(20), parts:
            raise AssertionError("it runs")
    assert said == ["slow was cancelled"]


async def test_until_told_to_stop() -> None:
    """Nothing else ends it."""
    parts, _ = running(Part("first", first))
    stop = asyncio.Event()
    async with asyncio.timeout(20), parts:
        stop.set()
        await parts.until(stop)


async def test_a_loop_that_an_oserror_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its part has failed, with the reason, until the loop has run for a while again; since when is when it began to fail."""
    monkeypatch.setattr(os_error_retry, "AGAIN_SECONDS", 0)
    faults = [OSError(24, "Too many open files"), OSError(28, "No space left", "/x")]
    seen: list[tuple[str, str, float]] = []
    done = asyncio.Event()

    async def troubled(scope: Scope, board_of_test: Second) -> First:
        async def loop() -> None:
            (status,) = (item for item in board.statuses() if item.name == "troubled")
            seen.append((status.state, status.reason, (status.since - START).total_seconds()))
            if faults:
                raise faults.pop(0)
            done.set()
            await asyncio.Event().wait()

        scope.loop(loop, "a loop")
        return First()

    async def given(scope: Scope) -> Second:
        return Second()

    parts, board = running(Part("given", given), Part("troubled", troubled))
    async with asyncio.timeout(20), parts:
        await done.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert states(board)["troubled"] == ("running", "")
    assert [item[:2] for item in seen] == [
        ("running", ""),
        ("failed", "a loop: [Errno 24] Too many open files"),
        ("failed", "a loop: /x: No space left"),
    ]
    assert seen[1][2] == seen[2][2]


@contextlib.contextmanager
def stubborn() -> Iterator[asyncio.Event]:
    """Set at the end of the test, so that what did not want to end does."""
    free = asyncio.Event()
    try:
        yield free
    finally:
        free.set()


async def test_a_part_that_does_not_end() -> None:
    """Its time is up, it is told, and the others are stopped all the same, in order."""
    said = Said()
    with stubborn() as free:

        async def deaf(scope: Scope, first: First) -> Second:
            async def loop() -> None:
                while not free.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await free.wait()

            async def undo() -> None:
                said.append("deaf undone")
                await free.wait()

            scope.tasks.create_task(loop(), name="deaf loop")
            scope.stack.push_async_callback(undo)
            await asyncio.sleep(0)
            return Second()

        parts, board = running(Part("first", first), Part("deaf", deaf, stop_seconds=0.01), said=said)
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.timeout(20), parts:
                pass
        assert [(type(error), str(error)) for error in caught.value.exceptions] == [
            (StillRunning, "deaf: its work has not ended within 0.01s"),
            (StillRunning, "deaf: has not stopped within 0.01s"),
        ]
    assert said[-3:] == ["deaf undone", "first ends", "first undone"]
    assert states(board)["first"] == ("stopped", "")
    await asyncio.sleep(0)


async def test_errors_of_the_stop_are_all_told() -> None:
    """Together with why it was stopped; every part is tried."""

    async def bad(scope: Scope, said: Said) -> First:
        def fail() -> None:
            raise OSError("cannot undo")

        scope.stack.callback(fail)
        return First()

    said = Said()
    parts, _ = running(Part("bad", bad), Part("second", second), said=said)
    with pytest.raises(ExceptionGroup) as caught:
        async with parts:
            raise ValueError("the cause")
    assert [str(error) for error in caught.value.exceptions] == ["the cause", "cannot undo"]
    assert said == ["second starts", "second undone"]


def test_the_board_keeps_since_when(caplog: pytest.LogCaptureFixture) -> None:
    """Another reason is no other state; each change is a line in the log."""
    caplog.set_level(logging.DEBUG)
    board = Board(Clock())
    line = board.line("runtime runc")
    line.to(PartState.FAILED, "no such file")
    line.to(PartState.FAILED, "no such file")
    since = line.status.since
    line.to(PartState.FAILED, "not a program")
    assert (line.status.since, line.status.reason) == (since, "not a program")
    line.to(PartState.RUNNING)
    assert line.status.since == since + timedelta(seconds=1)
    assert [record.getMessage() for record in caplog.records] == [
        "runtime runc: failed: no such file",
        "runtime runc: failed: not a program",
        "runtime runc: running",
    ]
