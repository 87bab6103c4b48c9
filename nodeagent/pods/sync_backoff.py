"""Back-off of a pod's syncs: after a pass that failed, and after a container that could not be started."""

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from runtimes.linux import retry

RETRY_SECONDS = 10.0  # after a failed pass, before jitter
JITTER = 0.5
# What cannot be taken down now (a volume that is in use) is tried ever more seldom, from the first time after a while of peace.
TEARDOWN = retry.RetryPolicy(first_seconds=1.0, cap_seconds=122.0, jitter=JITTER)
_PEACE_SECONDS = 300.0


class SyncBackoff:
    """One pod's back-off: none, one for all of its work, or one for each of some containers."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.blocked_until: datetime | None = None  # a whole pass failed: no other one before
        self._held_until: dict[str, datetime] = {}
        self._teardowns = retry.Backoff(TEARDOWN, reset_after_seconds=_PEACE_SECONDS, clock=lambda: now().timestamp())

    @property
    def held_until(self) -> Mapping[str, datetime]:
        """Container name -> no start before."""
        return self._held_until

    def block(self, seconds: float | None = None) -> None:
        """Begin no pass for a while (None: the usual), and never earlier than was said before."""
        self._block(jittered(RETRY_SECONDS if seconds is None else seconds))

    def block_teardown(self) -> None:
        """Begin no pass for a while, which grows as long as teardowns fail one after the other."""
        self._block(timedelta(seconds=self._teardowns.next_delay()))

    def hold(self, name: str, seconds: float | None = None) -> None:
        """Do not start this container for a while."""
        self._held_until[name] = self._now() + jittered(RETRY_SECONDS if seconds is None else seconds)

    def unblock(self) -> None:
        self.blocked_until = None

    def clear(self) -> None:
        """The pod has changed: what was wrong may be right now."""
        self.blocked_until = None
        self._held_until.clear()

    def _block(self, pause: timedelta) -> None:
        until = self._now() + pause
        self.blocked_until = until if self.blocked_until is None else max(self.blocked_until, until)

    def drop_over(self, now: datetime) -> None:
        """Forget those that are over."""
        self._held_until = {name: until for name, until in self._held_until.items() if until > now}
        if self.blocked_until is not None and self.blocked_until <= now:
            self.blocked_until = None


def jittered(seconds: float) -> timedelta:
    """`seconds`, times 1.0 to 1.5."""
    return timedelta(seconds=retry.jittered(seconds, JITTER, random.random()))
