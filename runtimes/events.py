"""Events, published to every subscriber. A subscriber that falls behind is cut off, and relists."""

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator

from typing_extensions import override

from proto import cri_pb2 as cri
from runtimes import errors

_QUEUE_LENGTH = 1024


class Subscription(AsyncIterator[cri.ContainerEventResponse]):
    """What happens from its making on. Whoever drops it has unsubscribed."""

    def __init__(self, length: int) -> None:
        self._queue: asyncio.Queue[cri.ContainerEventResponse | None] = asyncio.Queue(length)
        self._end_reason = ""

    @override
    async def __anext__(self) -> cri.ContainerEventResponse:
        event = None if self._end_reason and self._queue.empty() else await self._queue.get()
        if event is None:
            raise errors.Unavailable(self._end_reason)
        return event

    def put(self, event: cri.ContainerEventResponse) -> bool:
        """False when there is no room."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            return False
        return True

    def end(self, reason: str) -> None:
        """Drop what is waiting and let the listener know why."""
        self._end_reason = reason
        with contextlib.suppress(asyncio.QueueEmpty):
            while True:
                self._queue.get_nowait()
        self._queue.put_nowait(None)


class EventBus:
    """Publishing never waits: every subscription has a queue of its own with a bound."""

    def __init__(self, queue_length: int = _QUEUE_LENGTH) -> None:
        self._queue_length = queue_length
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()

    @property
    def has_listeners(self) -> bool:
        return len(self._subscriptions) > 0

    def subscribe(self) -> Subscription:
        subscription = Subscription(self._queue_length)
        self._subscriptions.add(subscription)
        return subscription

    def publish(self, event: cri.ContainerEventResponse) -> None:
        for subscription in tuple(self._subscriptions):
            if not subscription.put(event):
                self._end(subscription, "the listener fell behind: list again")

    def close(self) -> None:
        """End all subscriptions: the engine stops."""
        for subscription in tuple(self._subscriptions):
            self._end(subscription, "the runtime is stopping")

    def _end(self, subscription: Subscription, reason: str) -> None:
        self._subscriptions.discard(subscription)
        subscription.end(reason)
