"""The events of several runtimes as one stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.registry import Runtime
from runtimes.serve.router import Router

# Beside the queue that each runtime keeps for a listener: a client that does not read is cut off there, and lists again.
_LENGTH = 16
LOOK_AGAIN_SECONDS = 5.0  # whether a runtime that was not started yet has been

_Events: TypeAlias = AsyncIterator[cri.ContainerEventResponse]
_Queue: TypeAlias = "asyncio.Queue[cri.ContainerEventResponse | errors.RuntimeFault]"


class EventStreams:
    """`follow` for every client; `close` ends all of them at once."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._open: set[_Queue] = set()

    def follow(self) -> AsyncIterator[cri.ContainerEventResponse]:
        """Everything from the call on. Ends with Unavailable, or with the fault of the runtime that broke off first."""
        return self._merge([(runtime, self._subscribed(runtime)) for runtime in self._router.runtimes])

    def close(self) -> None:
        for queue in self._open:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(errors.Unavailable("the server is stopping"))

    def _subscribed(self, runtime: Runtime) -> _Events | None:
        """None: it has not been started yet."""
        try:
            return runtime.service.events()
        except errors.Unavailable as error:
            if self._router.never_up(runtime, error):
                return None
            raise

    async def _merge(self, streams: list[tuple[Runtime, _Events | None]]) -> AsyncIterator[cri.ContainerEventResponse]:
        queue: _Queue = asyncio.Queue(_LENGTH)
        self._open.add(queue)
        pumps = [
            self._await_start(runtime, queue) if stream is None else _pump(stream, queue) for runtime, stream in streams
        ]
        tasks = [asyncio.create_task(pump, name="events of a runtime") for pump in pumps]
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

    async def _await_start(self, runtime: Runtime, queue: _Queue) -> None:
        """Ends the stream when the runtime is there: what it has brought back was no event."""
        fault: errors.RuntimeFault = errors.Unavailable(f"runtime {runtime.handler} has been started: list again")
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            try:
                if self._subscribed(runtime) is not None:
                    break
            except errors.RuntimeFault as error:
                fault = error
                break
        await queue.put(fault)


async def _pump(stream: _Events, queue: _Queue) -> None:
    try:
        async for event in stream:
            await queue.put(event)
    except errors.RuntimeFault as fault:
        await queue.put(fault)
    else:
        await queue.put(errors.Unavailable("a runtime ended its events"))
