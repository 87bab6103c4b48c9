"""Work and the cancellation of whoever waits for it: what must not stay half done, what several ask for at the same time.

Four answers to "the caller is cancelled": wait for the end all the same (`to_the_end`, `run_blocking`, `end_tasks`); leave, and
undo the work when it has ended (`leave_behind`); leave, and let it go on (`Background`); leave, and end it when nobody is left
who wants it (`SingleFlight`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

_P = ParamSpec("_P")
_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")

log = logging.getLogger(__name__)


async def to_the_end(work: Awaitable[_T]) -> _T:
    """Wait until `work` has ended, however often the caller is cancelled. A cancellation is raised then, an error its cause."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError from None if task.cancelled() else task.exception()
    return task.result()


async def leave_behind(work: Awaitable[_T], undo: Callable[[_T], object]) -> _T:
    """Wait for `work`, which cannot be interrupted. A cancelled caller leaves at once; `undo` gets what comes of it later."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(lambda done: undo(done.result()) if _succeeded(done) else None)
        raise


def _succeeded(task: "asyncio.Future[Any]") -> bool:
    """Looks at its error, which is no unhandled exception then."""
    return not task.cancelled() and task.exception() is None


async def run_blocking(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run `function` in a worker thread, to the end: a thread cannot be stopped, and what undoes its work must not meet it."""
    return await to_the_end(asyncio.to_thread(function, *args, **kwargs))


async def end_tasks(*tasks: "asyncio.Task[Any]", then: Callable[[], Awaitable[object]] | None = None) -> None:
    """Cancel the tasks, wait until they have cleaned up, then do `then`: to the end."""
    for task in tasks:
        task.cancel()
    await to_the_end(_ended(tasks, then))


async def _ended(tasks: "tuple[asyncio.Task[Any], ...]", then: Callable[[], Awaitable[object]] | None) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    if then is not None:
        await then()


class Background:
    """Work that goes on whatever happens to whoever began it. Its owner drains it when he stops."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Do something beside the caller; its failure is logged."""
        task = self._begin(work, name)
        task.add_done_callback(_log_failure)
        return task

    async def carry_through(self, work: Coroutine[Any, Any, _T], name: str) -> _T:
        """Wait for work that goes on to its end even when the caller is cancelled. Raises what it raises."""
        task = self._begin(work, name)
        task.add_done_callback(_succeeded)  # the caller has its error, or did not wait for it
        return await asyncio.shield(task)

    async def drain(self, timeout_seconds: float) -> None:
        """Wait for all that is under way, for so long."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=timeout_seconds)

    def _begin(self, work: Coroutine[Any, Any, _T], name: str) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)  # the loop alone does not keep a task alive
        task.add_done_callback(self._tasks.discard)
        return task


def _log_failure(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s failed", task.get_name(), exc_info=error)


@dataclass(slots=True)
class _Flight(Generic[_T]):
    task: asyncio.Task[_T]
    waiting: int = 0


class SingleFlight(Generic[_K, _T]):
    """Work in progress by key. A caller who finds his key in it waits for the same result or error.

    The work is cancelled when the last who waits for it is, who then waits for its end, however often he is cancelled.
    """

    def __init__(self) -> None:
        self._flights: dict[_K, _Flight[_T]] = {}
        self._ending: set[asyncio.Task[_T]] = set()

    async def join(self, key: _K, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
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

    def __contains__(self, key: _K) -> bool:
        return key in self._flights

    def _landed(self, key: _K, task: asyncio.Task[_T]) -> None:
        current = self._flights.get(key)
        if current is not None and current.task is task:
            del self._flights[key]
        self._ending.discard(task)
        _succeeded(task)  # its error is seen, even if everybody who waited is gone

    async def _abandon(self, key: _K, flight: _Flight[_T]) -> None:
        # Whoever comes now starts afresh; the old work is only waited for, so that it leaves nothing running.
        if self._flights.get(key) is flight:
            del self._flights[key]
        self._ending.add(flight.task)
        flight.task.cancel()
        await to_the_end(asyncio.wait({flight.task}))
