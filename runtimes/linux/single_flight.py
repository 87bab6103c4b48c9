"""One piece of work for all who ask for it at the same time."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class Flights(Generic[K, T]):
    """Work in progress by key. A caller who finds his key in it waits for the same result or error.

    The work is cancelled when the last who waits for it is.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[T]] = {}
        self._ending: set[asyncio.Task[T]] = set()

    async def join(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the work under `key`; starts it where it is not under way."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(work()))
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                await self._abandon(key, flight)

    def __contains__(self, key: K) -> bool:
        return key in self._flights

    def _landed(self, key: K, task: asyncio.Task[T]) -> None:
        current = self._flights.get(key)
        if current is not None and current.task is task:
            del self._flights[key]
        self._ending.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if everybody who waited is gone

    async def _abandon(self, key: K, flight: _Flight[T]) -> None:
        # Whoever comes now starts afresh; the old work is only waited for, so that it leaves nothing running.
        if self._flights.get(key) is flight:
            del self._flights[key]
        self._ending.add(flight.task)
        flight.task.cancel()
        await asyncio.wait({flight.task})
