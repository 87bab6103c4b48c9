"""Creations under way. A request that is repeated joins the first one: same work, same result, same error."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from runtimes import errors
from runtimes.linux.tasks import SingleFlight

T = TypeVar("T")

EarlyCall = Callable[[str], None]


class _Creation:
    """One creation, and who is to be notified, once each, as soon as what it makes can be used (before it is whole)."""

    def __init__(self, before: "_Creation | None") -> None:
        self.before = before  # of the same, given up by all who waited for it, and still being undone
        self.ended = asyncio.Event()
        self._usable_id = ""
        self._listeners: list[EarlyCall] = []

    def listen(self, listener: EarlyCall) -> None:
        if self._usable_id:
            listener(self._usable_id)
        else:
            self._listeners.append(listener)

    def leave(self, listener: EarlyCall) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def usable(self, object_id: str) -> None:
        self._usable_id = object_id
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener(object_id)


class Creations(Generic[T]):
    """By key: who is to be created, and how, so that another request for the same name does not join.

    A creation is cancelled when the last who waits for it is. What comes after that waits until it has been undone.
    """

    def __init__(self) -> None:
        self._flights: SingleFlight[Hashable, T] = SingleFlight()
        self._creations: dict[Hashable, _Creation] = {}

    async def join(
        self,
        key: Hashable,
        work: Callable[[EarlyCall], Coroutine[Any, Any, T]],
        on_usable: EarlyCall | None = None,
    ) -> T:
        """The result of the work under `key`; starts it where it is not under way. Raises what the work raises.

        `work` calls what it is given, with an id, when `on_usable` of all who wait is to be called.
        """
        creation = self._creations.get(key)
        if creation is None or key not in self._flights:
            creation = self._creations[key] = _Creation(creation)
        if on_usable is not None:
            creation.listen(on_usable)
        try:
            return await self._flights.join(key, lambda: _carry_out(creation, work))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise errors.Unavailable("the creation was cancelled") from None
        finally:
            if on_usable is not None:
                creation.leave(on_usable)
            if key not in self._flights and self._creations.get(key) is creation:
                del self._creations[key]


async def _carry_out(creation: _Creation, work: Callable[[EarlyCall], Coroutine[Any, Any, T]]) -> T:
    try:
        if creation.before is not None:
            await creation.before.ended.wait()
        return await work(creation.usable)
    finally:
        creation.before = None
        creation.ended.set()
