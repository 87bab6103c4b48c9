"""A reading that several ask for: taken once for all of them, and kept for a moment."""

import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from runtimes.linux.tasks import SingleFlight

_T = TypeVar("_T")


class Cached(Generic[_T]):
    """What `read` answers, kept for `fresh_seconds`. An error is kept for nobody."""

    def __init__(
        self,
        read: Callable[[], Coroutine[Any, Any, _T]],
        *,
        fresh_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._kept: tuple[float, _T] | None = None  # (when its reading began, the value)
        self._flight: SingleFlight[None, _T] = SingleFlight()

    async def get(self) -> _T:
        """The value; who asks while it is read waits for the same reading. Raises what `read` raises."""
        if self._kept is not None and self._clock() - self._kept[0] < self._fresh_seconds:
            return self._kept[1]
        return await self._flight.join(None, self._anew)

    async def renew(self) -> _T:
        """As `get`, but what is kept does not count."""
        return await self._flight.join(None, self._anew)

    async def _anew(self) -> _T:
        began = self._clock()
        value = await self._read()
        self._kept = (began, value)
        return value
