"""Schedule and thresholds of a probe, without a clock: docs/facts/pod-lifecycle.md 7.1 and 7.2."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.models.core_v1 import Probe

from nodeagent.probes.outcome import Outcome, failure, success, warning
from nodeagent.probes.state import ProbeKind, ProbeState

GOOD, BAD = success(), failure("no")


def state(kind: ProbeKind, **fields: Any) -> ProbeState:
    return ProbeState(kind, msgspec.convert(fields, Probe))


def times(found: ProbeState, count: int, take: Outcome | None = None) -> list[tuple[float, bool]]:
    """(time, counted) of the next runs, each finished at once."""
    made: list[tuple[float, bool]] = []
    for _ in range(count):
        run = found.next_run
        if run is None:
            break
        made.append((round(run.at, 6), run.counted))
        if take is not None:
            found.take(take, counted=run.counted)
        found.finished_run(run, run.at)
    return made


@pytest.mark.parametrize(
    ("kind", "fields", "age", "expected"),
    [
        # liveness: a full period after the start, then every period
        (ProbeKind.LIVENESS, {}, 0, [(110, True), (120, True), (130, True)]),
        (ProbeKind.LIVENESS, {"periodSeconds": 1}, 0, [(101, True), (102, True)]),
        # initialDelaySeconds counts from the container's start
        (ProbeKind.LIVENESS, {"initialDelaySeconds": 5}, 0, [(105, True), (115, True)]),
        (ProbeKind.LIVENESS, {"initialDelaySeconds": 5}, 2, [(103, True), (113, True)]),
        (ProbeKind.LIVENESS, {"initialDelaySeconds": 5}, 9, [(110, True), (120, True)]),
        # readiness: looks at once, the first counted run after a second
        (
            ProbeKind.READINESS,
            {},
            0,
            [(100, False), (100.1, False), (100.3, False), (101, True), (111, True), (121, True)],
        ),
        (
            ProbeKind.READINESS,
            {"initialDelaySeconds": 7},
            0,
            [(107, False), (107.1, False), (107.3, False), (108, True)],
        ),
        (ProbeKind.READINESS, {"exec": {}}, 0, [(100.3, False), (101, True), (111, True)]),
        # more than one success wanted: no short cuts
        (ProbeKind.READINESS, {"successThreshold": 2}, 0, [(101, True), (111, True)]),
        # startup: looks at once, the first counted run after a period
        (ProbeKind.STARTUP, {}, 0, [(100, False), (100.1, False), (100.3, False), (110, True), (120, True)]),
    ],
)
def test_schedule(kind: ProbeKind, fields: Any, age: float, expected: list[tuple[float, bool]]) -> None:
    """7.2: every periodSeconds (10), not before initialDelaySeconds after the start."""
    found = state(kind, **fields)
    assert found.next_run is None
    found.begin(100.0, age_seconds=age)
    assert times(found, len(expected)) == expected


def test_runs_are_on_a_grid() -> None:
    """Runs of many probes fall together, so that the loop wakes once for them."""
    found = state(ProbeKind.LIVENESS, periodSeconds=1)
    found.begin(100.013, age_seconds=0)
    assert times(found, 2) == [(101.05, True), (102.05, True)]


def test_missed_ticks_are_not_made_up_for() -> None:
    """7.2: a run that took longer than the period is followed by the next tick, once."""
    found = state(ProbeKind.LIVENESS, periodSeconds=1)
    found.begin(100.0, age_seconds=0)
    run = found.next_run
    assert run is not None
    found.finished_run(run, 104.2)
    assert times(found, 2) == [(105, True), (106, True)]


def test_ready_at_a_look() -> None:
    """A success at a look counts, and the period begins there."""
    found = state(ProbeKind.READINESS)
    found.begin(100.0, age_seconds=0)
    assert times(found, 3, take=GOOD) == [(100, False), (110, True), (120, True)]
    assert found.result is True


@pytest.mark.parametrize(
    ("kind", "fields", "outcomes", "results"),
    [
        # initial: liveness Success, readiness Failure, startup Unknown
        (ProbeKind.LIVENESS, {}, [], [True]),
        (ProbeKind.READINESS, {}, [], [False]),
        (ProbeKind.STARTUP, {}, [], [None]),
        # failureThreshold 3 in a row, and any success starts the count over
        (ProbeKind.LIVENESS, {}, [BAD, BAD, GOOD, BAD, BAD, BAD], [True, True, True, True, True, True, False]),
        (ProbeKind.LIVENESS, {"failureThreshold": 1}, [BAD], [True, False]),
        # readiness goes both ways
        (ProbeKind.READINESS, {}, [GOOD, BAD, BAD, BAD, GOOD], [False, True, True, True, False, True]),
        (ProbeKind.READINESS, {"successThreshold": 2}, [GOOD, BAD, GOOD, GOOD], [False, False, False, False, True]),
        # a warning is a success
        (ProbeKind.READINESS, {}, [warning("w")], [False, True]),
        (ProbeKind.STARTUP, {}, [BAD, BAD, GOOD], [None, None, None, True]),
        (ProbeKind.STARTUP, {"failureThreshold": 2}, [BAD, BAD], [None, None, False]),
    ],
)
def test_thresholds(kind: ProbeKind, fields: Any, outcomes: list[Outcome], results: list[bool | None]) -> None:
    """7.2: the result changes only after failureThreshold / successThreshold equal outcomes."""
    found = state(kind, **fields)
    found.begin(100.0, age_seconds=0)
    seen = [found.result]
    for outcome in outcomes:
        before = found.result
        assert found.take(outcome) is (found.result is not before)
        seen.append(found.result)
    assert seen == results


@pytest.mark.parametrize(
    ("kind", "outcome", "on_hold"),
    [
        (ProbeKind.LIVENESS, BAD, True),
        (ProbeKind.LIVENESS, GOOD, False),
        (ProbeKind.STARTUP, BAD, True),
        (ProbeKind.STARTUP, GOOD, True),
        (ProbeKind.READINESS, BAD, False),
        (ProbeKind.READINESS, GOOD, False),
    ],
)
def test_hold_until_a_new_container(kind: ProbeKind, outcome: Outcome, on_hold: bool) -> None:
    """7.2: liveness failure or any decided startup result puts the probe on hold; a new container clears it."""
    found = state(kind, failureThreshold=1)
    found.begin(100.0, age_seconds=0)
    run = found.next_run
    assert run is not None
    found.take(outcome)
    found.finished_run(run, run.at)
    assert (found.next_run is None) is on_hold
    found.begin(200.0, age_seconds=0)
    assert found.next_run is not None
    assert found.result is {ProbeKind.LIVENESS: True, ProbeKind.STARTUP: None, ProbeKind.READINESS: False}[kind]


def test_a_failing_look_does_not_count() -> None:
    """Thresholds keep upstream's meaning: failures count at ticks only."""
    found = state(ProbeKind.STARTUP, failureThreshold=1)
    found.begin(100.0, age_seconds=0)
    assert found.take(BAD, counted=False) is False
    assert (found.result, found.take(BAD), found.result) == (None, True, False)


@pytest.mark.parametrize(
    ("kind", "result", "expected"),
    [
        (ProbeKind.LIVENESS, True, [(104, True), (114, True)]),
        (ProbeKind.READINESS, True, [(104, True), (114, True)]),
        (ProbeKind.STARTUP, True, []),  # started is started
        (ProbeKind.STARTUP, None, [(104, True), (114, True)]),
    ],
)
def test_adopted_containers_keep_what_was_known(kind: ProbeKind, result: bool | None, expected: Any) -> None:
    """7.2: no reset after an agent restart, and a random point of the period for the first run."""
    found = state(kind)
    found.adopt(100.0, age_seconds=1000, result=result, jitter=0.4)
    assert found.result is result
    assert times(found, 2) == expected


@given(st.sampled_from(ProbeKind), st.lists(st.booleans(), max_size=30), st.integers(1, 4), st.integers(1, 4))
def test_a_result_always_has_its_run_of_equal_outcomes(
    kind: ProbeKind, outcomes: list[bool], good: int, bad: int
) -> None:
    """7.2, for every sequence: no change without as many equal outcomes in a row as the threshold asks for."""
    found = state(kind, successThreshold=good, failureThreshold=bad)
    found.begin(0.0, age_seconds=0)
    for index, ok in enumerate(outcomes):
        if found.take(GOOD if ok else BAD):
            needed = good if ok else bad
            assert outcomes[index + 1 - needed : index + 1] == [ok] * needed
