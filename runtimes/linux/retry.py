"""Waiting times between attempts, as values with a pure `next_delay`."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential steps. The delay is `step` to `step * (1 + jitter)`."""

    first_seconds: float
    factor: float = 2.0
    cap_seconds: float = 30.0
    jitter: float = 0.0

    def next_delay(self, attempt: int, chance: float = 0.0) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 0); `chance` in [0, 1) picks the jitter."""
        step = min(self.first_seconds * self.factor ** min(attempt, 64), self.cap_seconds)
        return jittered(step, self.jitter, chance)


def jittered(seconds: float, jitter: float, chance: float) -> float:
    """`seconds` to `seconds * (1 + jitter)`, picked by `chance` in [0, 1): not all who wait the same time come at once."""
    return seconds * (1 + jitter * chance)


class Backoff:
    """Counts attempts of one loop, and starts over once it was not needed for `reset_after_seconds`."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        reset_after_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._reset_after_seconds = reset_after_seconds
        self._clock = clock
        self._chance = chance
        self._attempt = 0
        self._used_at = clock()

    def next_delay(self) -> float:
        """Count one more attempt and return the seconds to wait before it."""
        now = self._clock()
        if self._reset_after_seconds is not None and now - self._used_at > self._reset_after_seconds:
            self._attempt = 0
        delay = self._policy.next_delay(self._attempt, self._chance())
        self._attempt += 1
        self._used_at = now
        return delay

    def reset(self) -> None:
        self._attempt = 0
