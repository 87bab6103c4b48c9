"""What does not work is told at once, every minute while it lasts, and once when it works again."""

import logging
from collections.abc import Callable

import pytest

from nodeagent.api.outage import Outage


class Clock:
    """Time that passes by hand; timers fire when it passes them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float, action: Callable[[], None]) -> "Timer":
        self.timers.append(Timer(self, self.now + seconds, action))
        return self.timers[-1]

    def pass_to(self, when: float) -> None:
        while due := sorted((timer for timer in self.timers if timer.at <= when), key=lambda timer: timer.at):
            self.now = due[0].at
            self.timers.remove(due[0])
            due[0].action()
        self.now = when


class Timer:
    def __init__(self, clock: Clock, at: float, action: Callable[[], None]) -> None:
        self.clock, self.at, self.action = clock, at, action

    def cancel(self) -> None:
        if self in self.clock.timers:
            self.clock.timers.remove(self)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage(clock: Clock, caplog: pytest.LogCaptureFixture) -> Outage:
    caplog.set_level(logging.INFO)
    return Outage("list of Pod", clock=clock, later=clock.later)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return found


def test_a_failure_is_told_at_once_then_every_minute(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it is tried meanwhile; each line has the newest reason, the end is told once."""
    outage.tried()
    outage.failed("no")
    assert lines(caplog) == [("WARNING", "list of Pod: no")]
    for second in range(1, 130):
        clock.pass_to(float(second))
        outage.failed(f"no, at {second}")
    assert lines(caplog) == [
        ("WARNING", "list of Pod: for 60 s now: no, at 59"),
        ("WARNING", "list of Pod: for 120 s now: no, at 119"),
    ]
    assert (outage.seconds, outage.reason) == (129.0, "no, at 129")
    outage.works()
    outage.works()
    clock.pass_to(1000.0)
    assert lines(caplog) == [("INFO", "list of Pod: works again, after 129 s")]
    assert (outage.seconds, outage.reason) == (0.0, "")


def test_silence_is_told_too(outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """An attempt that gets no answer is told after 30 s, then every minute."""
    outage.tried()
    clock.pass_to(29.0)
    assert lines(caplog) == []
    clock.pass_to(91.0)
    assert lines(caplog) == [
        ("WARNING", "list of Pod: for 30 s now: no answer yet"),
        ("WARNING", "list of Pod: for 90 s now: no answer yet"),
    ]


def test_what_works_says_nothing(outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """An attempt that succeeds in time leaves no line, and no timer."""
    outage.tried()
    outage.works()
    assert (clock.timers, lines(caplog)) == ([], [])


def test_one_that_is_closed_is_quiet(outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody tries any more: neither further lines nor a recovery."""
    outage.failed("no")
    lines(caplog)
    outage.close()
    clock.pass_to(1000.0)
    assert (clock.timers, lines(caplog)) == ([], [])
