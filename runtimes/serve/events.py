"""The events of several runtimes as one stream."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeAlias

from proto import cri_pb2 as cri
from runtimes import errors

# Beside the queue that each runtime keeps for a listener: a client that does not read is cut off there, and lists again.
_LENGTH = 16

Source: TypeAlias = Callable[[], AsyncIterator[cri.ContainerEventResponse]]
_Queue: TypeAlias = "asyncio.Queue[cri.ContainerEventResponse | errors.RuntimeFault]"


class EventStreams:
    """`follow` for every client; `close` ends all of them at once."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = tuple(sources)
        self._open: set[_Queue] = set()

    def follow(self) -> AsyncIterator[cri.ContainerEventResponse]:
        """Everything from the call on. Ends with Unavailable, or with the fault of the runtime that broke off first."""
        return self._merge([source() for source in self._sources])

    def close(self) -> None:
        for queue in self._open:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(errors.Unavailable("the server is stopping"))

    async def _merge(
        self, streams: list[AsyncIterator[cri.ContainerEventResponse]]
    ) -> AsyncIterator[cri.ContainerEventResponse]:
        queue: _Queue = asyncio.Queue(_LENGTH)
        self._open.add(queue)
        tasks = [asyncio.create_task(_pump(stream, queue), name="events of a runtime") for stream in streams]
        try:
            while True:
                item = await queue.get()
                if isinstance(item, errors.RuntimeFault):
                    raise item
                yield item
        finally:
            self._open.discard(queue)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(stream: AsyncIterator[cri.ContainerEventResponse], queue: _Queue) -> None:
    try:
        async for event in stream:
            await queue.put(event)
    except errors.RuntimeFault as fault:
        await queue.put(fault)
    else:
        await queue.put(errors.Unavailable("a runtime ended its events"))
