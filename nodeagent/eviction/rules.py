"""Which thresholds are met, for how long, and which of them is acted on. Pure. Source: docs/facts/node-resources.md 5.3."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from nodeagent.config.eviction import Signal
from nodeagent.eviction.signals import Observation, Observations
from nodeagent.eviction.thresholds import Threshold
from nodeagent.node.conditions import Pressure

MEMORY = frozenset({Signal.MEMORY, Signal.ALLOCATABLE_MEMORY})
PIDS = frozenset({Signal.PIDS})
INODES = frozenset({Signal.NODEFS_INODES, Signal.IMAGEFS_INODES, Signal.CONTAINERFS_INODES})
DISK = frozenset({Signal.NODEFS, Signal.IMAGEFS, Signal.CONTAINERFS}) | INODES
_KINDS = (MEMORY, DISK, PIDS)

# The fastest that something is taken to be used up, by the second: so soon it is looked at again.
_FASTEST = {MEMORY: 2**30, DISK - INODES: 2**30, INODES: 100_000, PIDS: 10_000}
PERIOD_SECONDS = 10.0
LEAST_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """`met_since`: the thresholds that hold, each with when it was first met; `short_at`: when a kind was last short of."""

    met_since: Mapping[Threshold, float] = field(default_factory=dict)
    short_at: Mapping[frozenset[Signal], float] = field(default_factory=dict)


def is_met(threshold: Threshold, seen: Observation, *, with_reclaim: bool = False) -> bool:
    """Whether less is available than the threshold, and, `with_reclaim`, than is to be reclaimed beyond it."""
    least = threshold.amount.of(seen.capacity)
    if with_reclaim and threshold.minimum_reclaim is not None:
        least += threshold.minimum_reclaim.of(seen.capacity)
    return seen.available < least


def track(before: Tracked, thresholds: Sequence[Threshold], seen: Observations, now: float) -> Tracked:
    """What holds now. Of what cannot be observed nothing holds."""
    met = {
        threshold: before.met_since.get(threshold, now)
        for threshold in thresholds
        if threshold.signal in seen
        and is_met(threshold, seen[threshold.signal], with_reclaim=threshold in before.met_since)
    }
    short = {kind: now for kind in _KINDS if any(threshold.signal in kind for threshold in met)}
    return Tracked(met_since=met, short_at={**before.short_at, **short})


def pressure(tracked: Tracked, now: float, transition_seconds: float) -> Pressure:
    """The node's conditions: at once, soft thresholds too, and for the transition period longer than something is met."""
    memory, disk, pid = (
        kind in tracked.short_at and now - tracked.short_at[kind] <= transition_seconds for kind in _KINDS
    )
    return Pressure(memory=memory, disk=disk, pid=pid)


def due(tracked: Tracked, now: float) -> tuple[Threshold, ...]:
    """Those to act on, memory first: hard ones at once, soft ones when they have been met for their grace."""
    found = [
        threshold for threshold, since in tracked.met_since.items() if now - since >= (threshold.grace_seconds or 0.0)
    ]
    return tuple(sorted(found, key=lambda threshold: threshold.signal not in MEMORY))


def next_look_seconds(tracked: Tracked, thresholds: Sequence[Threshold], seen: Observations, now: float) -> float:
    """How long nothing can happen: the nearer to a threshold, the shorter; the end of a grace; at most the period."""
    waits = [PERIOD_SECONDS]
    for threshold in thresholds:
        since, observation = tracked.met_since.get(threshold), seen.get(threshold.signal)
        if since is not None:
            left = (threshold.grace_seconds or 0.0) - (now - since)
            waits += [left] if left > 0 else []
        elif observation is not None:
            distance = observation.available - threshold.amount.of(observation.capacity)
            waits.append(float(distance / _fastest(threshold.signal)))
    return max(LEAST_SECONDS, min(waits))


def resource(signal: Signal) -> str:
    """What is short, as messages call it."""
    if signal in MEMORY:
        return "memory"
    if signal in PIDS:
        return "pids"
    return "inodes" if signal in INODES else "ephemeral-storage"


def _fastest(signal: Signal) -> Fraction:
    return Fraction(next(speed for kind, speed in _FASTEST.items() if signal in kind))
