"""The requests that are being answered, so that all of them can be ended at once."""

import asyncio
import contextlib
from collections.abc import Iterator


class Connections:
    """A streaming request lasts until its client goes; the agent does not wait for that when it stops."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Around a request's handler."""
        task = asyncio.current_task()
        assert task is not None
        known = task in self._tasks
        self._tasks.add(task)
        try:
            yield
        finally:
            if not known:
                self._tasks.discard(task)

    async def end_all(self) -> None:
        """Cancel every handler, and wait until each has cleaned up."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLEANUP_SECONDS)


_CLEANUP_SECONDS = 5.0
