"""Keys of objects that are to be looked at: each by one at a time, all again that failed, after growing pauses."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from runtimes.linux.retry import RetryPolicy

K = TypeVar("K")
log = logging.getLogger(__name__)

BACKOFF: Final = RetryPolicy(first_seconds=1.0, cap_seconds=300.0)  # that of upstream's sidecars
AT_ONCE: Final = 8


class Failed(Exception):
    """What was to be done could not be, and has been told to whom it concerns: it is tried again later."""


class WorkQueue(Generic[K]):
    """`work` is awaited for each key that was added. A key that is added while it waits for another try is tried at once."""

    def __init__(self, work: Callable[[K], Awaitable[None]], policy: RetryPolicy = BACKOFF) -> None:
        self._work = work
        self._policy = policy
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._queued: set[K] = set()
        self._busy: set[K] = set()
        self._attempts: dict[K, int] = {}
        self._pauses: dict[K, asyncio.TimerHandle] = {}

    def add(self, key: K) -> None:
        if (pause := self._pauses.pop(key, None)) is not None:
            pause.cancel()
        if key not in self._queued:
            self._queued.add(key)
            if key not in self._busy:  # else when that is done
                self._ready.put_nowait(key)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(AT_ONCE):
                    tasks.create_task(self._take())
        finally:
            for pause in self._pauses.values():
                pause.cancel()

    async def _take(self) -> None:
        while True:
            key = await self._ready.get()
            self._queued.discard(key)
            self._busy.add(key)
            try:
                failed = await self._fails(key)
            finally:
                self._busy.discard(key)
            if key in self._queued:
                self._ready.put_nowait(key)
            elif failed:
                delay = self._policy.next_delay(self._attempts[key] - 1)
                self._pauses[key] = asyncio.get_running_loop().call_later(delay, self.add, key)

    async def _fails(self, key: K) -> bool:
        try:
            await self._work(key)
        except Failed as error:
            log.info("%s: %s", key, error)
        except Exception:  # one object's trouble is not the others'
            log.exception("%s failed", key)
        else:
            self._attempts.pop(key, None)
            return False
        self._attempts[key] = self._attempts.get(key, 0) + 1
        return True
