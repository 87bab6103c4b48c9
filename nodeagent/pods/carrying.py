"""Work that a cancellation does not break off at once, so that what undoes it never meets it."""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Coroutine, Iterable
from typing import Any

log = logging.getLogger(__name__)


async def carry(work: Coroutine[Any, Any, None], name: str, *, grace_seconds: float) -> None:
    """Wait for `work`. A cancelled caller leaves it `grace_seconds` to end by itself, and cancels it after them.

    The work has ended when this returns or raises. Raises what the work raises; CancelledError where the caller was cancelled,
    whatever came of the work: what is worth keeping of its outcome, it records itself.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        loop = asyncio.get_running_loop()
        last_call = loop.call_later(grace_seconds, _cancel, task, grace_seconds)
        with contextlib.suppress(asyncio.CancelledError):
            await until_ended((task,))
        last_call.cancel()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s failed, and nobody waits for it any more", name, exc_info=error)
        raise


async def run_all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all side by side. When every one has ended, raise the first error in their order.

    A cancellation reaches each of them, and is raised when the last has ended.
    """
    for error in await outcomes(work):
        if error is not None:
            raise error


async def outcomes(work: Iterable[Coroutine[Any, Any, None]]) -> list[BaseException | None]:
    """Run all side by side; what each raised, in their order. A cancellation as in `run_all`."""
    tasks = [asyncio.get_running_loop().create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks, return_exceptions=True)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await until_ended(tasks)
        raise


async def until_ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Return when no task runs any more, however often the caller is cancelled; if it was, CancelledError is raised then.

    The tasks' own errors are not looked at by anybody else.
    """
    cancelled: asyncio.CancelledError | None = None
    while running := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # else asyncio tells of it when the task is collected
    if cancelled is not None:
        raise cancelled


def _cancel(task: asyncio.Task[Any], grace_seconds: float) -> None:
    log.warning("%s: has not ended within %g s, and is cancelled", task.get_name(), grace_seconds)
    task.cancel()
