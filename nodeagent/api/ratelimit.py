"""A token bucket that hands out waiting times, first come first served."""

import time
from collections.abc import Callable


class TokenBucket:
    """`burst` calls at once, then `qps` a second. A negative `qps` never waits."""

    def __init__(self, qps: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._qps = qps
        self._burst = max(burst, 1)
        self._clock = clock
        self._tokens = float(self._burst)
        self._updated_at = clock()

    @property
    def limits(self) -> bool:
        return self._qps >= 0

    def reserve(self) -> float:
        """Take a token, on credit if there is none, and return the seconds to wait before using it."""
        if not self.limits:
            return 0.0
        self._refill()
        self._tokens -= 1
        return 0.0 if self._tokens >= 0 else -self._tokens / max(self._qps, 1e-9)

    def take(self) -> bool:
        """Take a token if there is one, and say whether there was."""
        if not self.limits:
            return True
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._qps)
        self._updated_at = now
