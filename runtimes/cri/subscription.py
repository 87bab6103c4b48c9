"""A stream of events that begins when it is asked for, not when it is first read, and ends with whoever asked."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Generic, TypeVar

from typing_extensions import override

from runtimes import errors

Item = TypeVar("Item")

QUEUE_LENGTH = 256


class Subscription(AsyncIterator[Item], Generic[Item]):
    """What `source` yields, read ahead up to a bound: a slow reader slows the source down.

    Ends with the source's fault, again and again; Unavailable when the source ends or is closed. Whoever drops the
    subscription has ended it.
    """

    def __init__(self, source: AsyncGenerator[Item, None], name: str) -> None:
        self._queue: asyncio.Queue[Item] = asyncio.Queue(QUEUE_LENGTH)
        self._reading = asyncio.create_task(_read(source, self._queue), name=name)
        self._reading.add_done_callback(_seen)
        weakref.finalize(self, _cancel, self._reading, asyncio.get_running_loop())

    @override
    async def __anext__(self) -> Item:
        while self._queue.empty():
            if self._reading.done():
                raise _end(self._reading)
            getting = asyncio.ensure_future(self._queue.get())
            try:
                await asyncio.wait({getting, self._reading}, return_when=asyncio.FIRST_COMPLETED)
                if getting.done():
                    return getting.result()
            finally:
                getting.cancel()
        return self._queue.get_nowait()

    def close(self) -> None:
        """Repeatable."""
        self._reading.cancel()


async def _read(source: AsyncGenerator[Item, None], queue: "asyncio.Queue[Item]") -> None:
    try:
        async for item in source:
            await queue.put(item)
    finally:
        await source.aclose()


def _end(reading: "asyncio.Task[None]") -> BaseException:
    if reading.cancelled():
        return errors.Unavailable("the events were closed")
    return reading.exception() or errors.Unavailable("the events ended")


def _seen(reading: "asyncio.Task[None]") -> None:
    """A fault that nobody reads any more is nobody's business."""
    if not reading.cancelled():
        reading.exception()


def _cancel(task: "asyncio.Task[None]", loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        task.cancel()
