"""Waiting times between attempts."""

import pytest

from runtimes.linux.retry import Backoff, RetryPolicy, jittered


@pytest.mark.parametrize(
    ("policy", "chance", "delays"),
    [
        (RetryPolicy(first_seconds=10, cap_seconds=300), 0.9, [10, 20, 40, 80, 160, 300, 300]),
        (RetryPolicy(first_seconds=0.5, factor=1.5, jitter=0.2), 0.0, [0.5, 0.75, 1.125]),
        (RetryPolicy(first_seconds=10, cap_seconds=15, jitter=1.0), 0.5, [15, 22.5, 22.5]),
        (RetryPolicy(first_seconds=10, cap_seconds=1), 0.5, [1, 1]),
    ],
)
def test_the_steps_of_a_policy(policy: RetryPolicy, chance: float, delays: list[float]) -> None:
    """They grow by the factor up to the cap, below the first too; jitter comes on top of either."""
    assert [policy.next_delay(attempt, chance) for attempt in range(len(delays))] == delays


def test_attempts_without_end() -> None:
    """A loop that has failed for years still has a delay, not an overflow."""
    assert RetryPolicy(first_seconds=0.5, factor=1000.0).next_delay(10**9) == 30.0


def test_jitter_only_adds() -> None:
    """Nobody comes before the time that was promised."""
    assert [jittered(10, 0.5, chance) for chance in (0.0, 0.5, 1.0)] == [10, 12.5, 15]
    assert jittered(10, 0, 0.9) == 10


def test_a_loops_back_off() -> None:
    """It grows with each attempt, and starts over when told, or when it was not needed for long enough."""
    now = 0.0
    chances = iter([0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0])
    backoff = Backoff(
        RetryPolicy(first_seconds=1, jitter=1.0), reset_after_seconds=60, clock=lambda: now, chance=chances.__next__
    )
    assert [backoff.next_delay() for _ in range(3)] == [1, 3, 4]
    now = 60.0
    assert backoff.next_delay() == 8
    now = 120.0
    assert backoff.next_delay() == 16
    now = 180.1
    assert backoff.next_delay() == 1
    backoff.reset()
    assert backoff.next_delay() == 1


def test_a_back_off_that_forgets_nothing() -> None:
    """Without a time to forget after, only `reset` starts it over."""
    now = 0.0
    backoff = Backoff(RetryPolicy(first_seconds=1), clock=lambda: now)
    assert backoff.next_delay() == 1
    now = 10.0**6
    assert backoff.next_delay() == 2
