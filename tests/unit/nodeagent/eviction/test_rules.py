"""Which thresholds hold, and what follows: tables."""

from collections.abc import Mapping

import pytest

from nodeagent.config.eviction import Signal, parse_amount
from nodeagent.eviction.rules import (
    MEMORY,
    Tracked,
    due,
    is_met,
    next_look_seconds,
    pressure,
    resource,
    track,
)
from nodeagent.eviction.signals import Observation
from nodeagent.eviction.thresholds import Threshold
from nodeagent.node.conditions import Pressure


def threshold(signal: Signal, text: str, grace: float | None = None, reclaim: str = "") -> Threshold:
    least = parse_amount(reclaim) if reclaim else None
    return Threshold(signal=signal, amount=parse_amount(text), grace_seconds=grace, minimum_reclaim=least)


def seen(**available: int) -> dict[Signal, Observation]:
    """Of 1000 each."""
    return {Signal[name.upper()]: Observation(available=left, capacity=1000) for name, left in available.items()}


@pytest.mark.parametrize(
    ("text", "reclaim", "available", "met", "met_still"),
    [
        ("100", "", 99, True, True),
        ("100", "", 100, False, False),
        ("100", "50", 99, True, True),
        ("100", "50", 149, False, True),
        ("100", "50", 150, False, False),
        ("10%", "", 99, True, True),
        ("10%", "", 100, False, False),
        ("10%", "10%", 199, False, True),
        ("10%", "10%", 200, False, False),
    ],
)
def test_met(text: str, reclaim: str, available: int, met: bool, met_still: bool) -> None:
    """Below the threshold, in numbers and shares; one that was met holds until what is to be reclaimed is there, too."""
    observation = Observation(available=available, capacity=1000)
    given = threshold(Signal.NODEFS, text, reclaim=reclaim)
    assert is_met(given, observation) is met
    assert is_met(given, observation, with_reclaim=True) is met_still


HARD, SOFT = threshold(Signal.NODEFS, "100", reclaim="50"), threshold(Signal.MEMORY, "300", 30.0)


def test_the_way_of_thresholds() -> None:
    """Met at once, held by what is to be reclaimed, met anew later; of what cannot be seen nothing holds."""
    tracked, told = Tracked(), list[Mapping[Threshold, float]]()
    for now, available in ((0.0, 100), (1.0, 99), (2.0, 120), (3.0, 150), (4.0, 120), (5.0, 10), (6.0, None)):
        observations = {} if available is None else seen(nodefs=available)
        tracked = track(tracked, [HARD], observations, now)
        told.append(tracked.met_since)
    assert told == [{}, {HARD: 1.0}, {HARD: 1.0}, {}, {}, {HARD: 5.0}, {}]


def test_grace() -> None:
    """A hard threshold is due at once, a soft one when it has been met for its grace without a break; memory first."""
    both = track(Tracked(), [HARD, SOFT], seen(nodefs=0, memory=200), 10.0)
    assert due(both, 10.0) == (HARD,)
    assert due(both, 39.9) == (HARD,)
    assert due(both, 40.0) == (SOFT, HARD)
    broken = track(both, [HARD, SOFT], seen(nodefs=0, memory=300), 39.0)
    again = track(broken, [HARD, SOFT], seen(nodefs=0, memory=200), 40.0)
    assert due(again, 69.0) == (HARD,)


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        (Signal.MEMORY, Pressure(memory=True)),
        (Signal.ALLOCATABLE_MEMORY, Pressure(memory=True)),
        (Signal.NODEFS, Pressure(disk=True)),
        (Signal.NODEFS_INODES, Pressure(disk=True)),
        (Signal.IMAGEFS, Pressure(disk=True)),
        (Signal.IMAGEFS_INODES, Pressure(disk=True)),
        (Signal.CONTAINERFS, Pressure(disk=True)),
        (Signal.CONTAINERFS_INODES, Pressure(disk=True)),
        (Signal.PIDS, Pressure(pid=True)),
    ],
)
def test_conditions(signal: Signal, expected: Pressure) -> None:
    """Before the grace is over, and for the transition period longer than the threshold is met: the node does not waver."""
    given = threshold(signal, "100", 60.0)
    met = track(Tracked(), [given], {signal: Observation(available=1, capacity=1000)}, 5.0)
    over = track(met, [given], {signal: Observation(available=500, capacity=1000)}, 6.0)
    assert pressure(met, 5.0, 30.0) == pressure(over, 35.0, 30.0) == expected
    assert pressure(over, 35.1, 30.0) == Pressure()


@pytest.mark.parametrize(
    ("given", "observations", "seconds"),
    [
        ([], {}, 10.0),
        ([threshold(Signal.MEMORY, "100")], {}, 10.0),
        ([threshold(Signal.PIDS, "100")], seen(pids=150), 0.1),
        ([threshold(Signal.PIDS, "100")], {Signal.PIDS: Observation(available=20_100, capacity=30_000)}, 2.0),
        ([threshold(Signal.MEMORY, "0.5Gi")], {Signal.MEMORY: Observation(available=2**32, capacity=2**33)}, 3.5),
        ([threshold(Signal.MEMORY, "0.5Gi")], {Signal.MEMORY: Observation(available=2**40, capacity=2**41)}, 10.0),
        ([SOFT], seen(memory=200), 10.0),  # its grace of 30 s
        ([threshold(Signal.MEMORY, "300", 4.0)], seen(memory=200), 4.0),
        ([HARD], seen(nodefs=0), 10.0),
    ],
)
def test_when_to_look_again(given: list[Threshold], observations: dict[Signal, Observation], seconds: float) -> None:
    """The nearer to a threshold, the sooner; at the end of a grace; at the latest after the period."""
    tracked = track(Tracked(), given, observations, 0.0)
    assert next_look_seconds(tracked, given, observations, 0.0) == seconds


def test_names() -> None:
    """What is short, as messages call it."""
    assert {resource(signal) for signal in MEMORY} == {"memory"}
    assert resource(Signal.PIDS) == "pids"
    assert resource(Signal.IMAGEFS) == "ephemeral-storage"
    assert resource(Signal.CONTAINERFS_INODES) == "inodes"
