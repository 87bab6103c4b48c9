"""A clock that moves when told."""

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class FakeHandle:
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class FakeTimers:
    """A monotonic clock for workers: time moves by `advance` only, and every due callback runs at its time."""

    now: float = 1000.0
    _heap: list[tuple[float, int, Callable[[], None], FakeHandle]] = field(default_factory=list)
    _count: int = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> FakeHandle:
        handle = FakeHandle()
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, callback, handle))
        return handle

    async def advance(self, seconds: float) -> None:
        """Move on, letting everything that comes due happen in between."""
        end = self.now + seconds
        await settle()
        while self._heap and self._heap[0][0] <= end:
            when, _, callback, handle = heapq.heappop(self._heap)
            if handle.cancelled:
                continue
            self.now = max(self.now, when)
            callback()
            await settle()
        self.now = end
        await settle()


async def settle() -> None:
    """Let every task run until it waits again."""
    for _ in range(20):
        await asyncio.sleep(0)
