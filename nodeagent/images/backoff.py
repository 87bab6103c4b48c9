"""Image pull back-off: after a failed pull of an image for a pod, how long until the next.

10 s, doubling up to 300 s, counted from the last failure; forgotten 600 s after it. A success does not reset it.
Source: docs/facts/pod-lifecycle.md 0.1, 13.3.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from runtimes.linux.retry import RetryPolicy

RETRY = RetryPolicy(first_seconds=10.0, cap_seconds=300.0)
FORGET_AFTER_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    count: int
    at: float
    error: str


class PullBackoff:
    """Failed pulls by key (pod UID and image)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, _Failure] = {}

    def remaining_seconds(self, key: str) -> float:
        """How long the key is held back from now; 0 when a pull may be tried."""
        failure = self._failures.get(key)
        if failure is None:
            return 0.0
        return max(0.0, failure.at + RETRY.next_delay(failure.count - 1) - self._clock())

    def last_error(self, key: str) -> str:
        """What the last failed pull said, "" when there was none since the last attempt began."""
        failure = self._failures.get(key)
        return "" if failure is None else failure.error

    def failed(self, key: str, error: str) -> None:
        """Note a failure; the next delay is twice the last."""
        now = self._clock()
        self._forget_old(now)
        before = self._failures.get(key)
        count = 1 if before is None else before.count + 1
        self._failures[key] = _Failure(count=count, at=now, error=error)

    def _forget_old(self, now: float) -> None:
        self._failures = {
            key: failure for key, failure in self._failures.items() if now - failure.at <= FORGET_AFTER_SECONDS
        }
