"""Crash back-off (docs/facts/pod-lifecycle.md 5.1)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.models.core_v1 import Container, ResourceRequirements

from nodeagent.pods.rules.backoff import RETRY, advance, backoff_key, crash_loop, held_until
from nodeagent.pods.rules.model import CrashBackoff, StartFailure

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MAIN = Container(name="main", image="busybox")


def _delays(cap_seconds: float, runs: int) -> list[float]:
    """The waits of a container that exits at once, again and again."""
    waits: list[float] = []
    backoff: CrashBackoff | None = None
    finished = NOW
    for _ in range(runs):
        until = held_until(backoff, MAIN, finished) or finished
        waits.append((until - finished).total_seconds())
        backoff = advance(backoff, MAIN, finished, until, policy=replace(RETRY, cap_seconds=cap_seconds))
        finished = until
    return waits


def test_the_sequence_of_5_1() -> None:
    """5.1: 0 (immediate), 10, 20, 40, 80, 160, 300, 300 seconds."""
    assert _delays(300.0, 9) == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_configured_cap_counts() -> None:
    """0.1: the cap is configurable, below the first delay too."""
    assert _delays(15.0, 4) == [0, 10, 15, 15]
    assert _delays(1.0, 3) == [0, 1, 1]


@pytest.mark.parametrize(("ran_seconds", "attempt", "delay"), [(599, 1, 20.0), (600, 1, 20.0), (601, 0, 10.0)])
def test_reset_after_600_seconds(ran_seconds: int, attempt: int, delay: float) -> None:
    """5.1: a run that ends more than 600 s after the delay was last advanced starts from the beginning."""
    known = CrashBackoff(delay_seconds=10.0, advanced_at=NOW, key=backoff_key(MAIN))
    finished = NOW + timedelta(seconds=ran_seconds)
    assert advance(known, MAIN, finished, finished) == CrashBackoff(
        attempt=attempt, delay_seconds=delay, advanced_at=finished, key=backoff_key(MAIN)
    )
    expected = None if ran_seconds > 600 else finished + timedelta(seconds=10)
    assert held_until(known, MAIN, finished) == expected


@pytest.mark.parametrize(
    "edited",
    [
        Container(name="main", image="busybox:2"),
        Container(name="main", image="busybox", resources=ResourceRequirements(limits={"cpu": "1"})),
    ],
)
def test_editing_image_or_resources_resets(edited: Container) -> None:
    """5.1: the key holds image and resources."""
    known = advance(None, MAIN, NOW, NOW)
    assert held_until(known, MAIN, NOW) == NOW + timedelta(seconds=10)
    assert held_until(known, edited, NOW) is None


def test_the_waiting_message(kit: Any) -> None:
    """5.1: `back-off %s restarting failed container=%s pod=%s`, the pod as name_namespace(uid)."""
    backoff = CrashBackoff(delay_seconds=80, advanced_at=NOW)
    assert crash_loop(kit.pod(), MAIN, backoff) == StartFailure(
        reason="CrashLoopBackOff", message="back-off 1m20s restarting failed container=main pod=web_ns(uid-1)"
    )


@given(st.lists(st.integers(0, 2000), max_size=20), st.floats(1, 300))
def test_a_delay_never_leaves_its_bounds(runs: list[int], cap: float) -> None:
    """5.1, for every history of runs: the delay lies between the first one and the cap, and doubles or starts over."""
    backoff: CrashBackoff | None = None
    now = NOW
    for seconds in runs:
        finished = now + timedelta(seconds=seconds)
        now = max(finished, held_until(backoff, MAIN, finished) or finished)
        after = advance(backoff, MAIN, finished, now, policy=replace(RETRY, cap_seconds=cap))
        before = backoff.delay_seconds if backoff else 0.0
        assert after.delay_seconds in (min(10.0, cap), min(before * 2, cap))
        backoff = after
