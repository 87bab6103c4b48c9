"""Tasks that work for pods, in a group of their own: an error there concerns one pod, and never ends the agent."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from runtimes.linux.retry import Backoff, RetryPolicy

log = logging.getLogger(__name__)

RETRY = RetryPolicy(first_seconds=1.0, factor=2.0, cap_seconds=60.0)
FORGIVEN_SECONDS = 600.0  # work that went well for so long begins with the shortest pause again


class PodTasks:
    """Starts tasks in `group`, which is for pods alone: whoever leaves it cancels them. Errors of theirs are only logged."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start(self, work: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        """Run `work` to its end. After an error, which is a bug, it is called again: it must bear that."""
        return self._group.create_task(self._run(work, name), name=name)

    async def _run(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        backoff: Backoff | None = None
        while True:
            try:
                return await work()
            except Exception:
                backoff = backoff or Backoff(RETRY, reset_after_seconds=FORGIVEN_SECONDS)
                delay = backoff.next_delay()
                log.exception("%s: unexpected error, begins again in %g s", name, delay)
            await asyncio.sleep(delay)
