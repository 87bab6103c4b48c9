"""Work for a pod and the cancellation of its pass: a start that has begun is carried to its end, steps side by side end together.

What undoes the work never meets it. (`runtimes.linux.tasks` has what does not ask for a bound.)
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from runtimes.linux.tasks import end_tasks, to_the_end

log = logging.getLogger(__name__)


async def carry_through(work: Coroutine[Any, Any, None], name: str, *, grace_seconds: float) -> None:
    """Wait for `work`. A cancelled caller leaves it `grace_seconds` to end by itself, and cancels it after them.

    The work has ended when this returns or raises. Raises what the work raises; CancelledError where the caller was cancelled,
    whatever came of the work: what is worth keeping of its outcome, it records itself.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work, name=name)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        last_call = loop.call_later(grace_seconds, _cancel, task, grace_seconds)
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await to_the_end(task)
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
        if tasks:
            # not gather: that would pass on a second cancellation, into the clean-up after the first
            await asyncio.wait(tasks)
    except asyncio.CancelledError:
        await end_tasks(*tasks)
        raise
    return [asyncio.CancelledError() if task.cancelled() else task.exception() for task in tasks]


def _cancel(task: asyncio.Task[Any], grace_seconds: float) -> None:
    log.warning("%s: has not ended within %g s, and is cancelled", task.get_name(), grace_seconds)
    task.cancel()
