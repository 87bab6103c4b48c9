"""How much of the resolver one asker may have, so that it is there for the others: a pod that floods it drops its own queries."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`at_once` of all and of one asker; `a_second`: new ones of one asker, 0 for as many as come."""

    at_once: int
    of_one_at_once: int
    of_one_a_second: int = 0


class Askers:
    """Who has how many queries, or connections, under way. It remembers nobody who has none, or longer than a second."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        self._bounds = bounds
        self._clock = clock
        self._under_way: Counter[str] = Counter()
        self._lately: Counter[str] = Counter()
        self._window_ends = 0.0

    def admit(self, asker: str) -> bool:
        """Whether there is room for one more of this asker: then it is counted, until `leave`."""
        if not self._is_in_time(asker):
            return False
        if self._under_way.total() >= self._bounds.at_once or self._under_way[asker] >= self._bounds.of_one_at_once:
            return False
        self._under_way[asker] += 1
        return True

    def leave(self, asker: str) -> None:
        self._under_way[asker] -= 1
        if not self._under_way[asker]:
            del self._under_way[asker]

    def _is_in_time(self, asker: str) -> bool:
        if not self._bounds.of_one_a_second:
            return True
        if (now := self._clock()) >= self._window_ends:
            self._lately.clear()
            self._window_ends = now + _WINDOW_SECONDS
        self._lately[asker] += 1
        return self._lately[asker] <= self._bounds.of_one_a_second
