"""Work that a cancellation does not break off at once, so that what undoes it never meets it."""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Coroutine
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
