"""Loops that go on after an OSError: no descriptors, no space, a disk that fails.

Such an error passes, and pods run meanwhile; the agent must be there when it is over. Any other error of a loop is a bug, and
ends the agent.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from nodeagent.errors import one_line

log = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0


class LoopHealth(Protocol):
    """Takes reports of how a loop fares."""

    def failed(self, reason: str) -> None: ...

    def works(self) -> None:
        """It has run for a while since it failed."""
        ...


class _Unreported:
    """Nobody wants to know."""

    def failed(self, reason: str) -> None:
        return

    def works(self) -> None:
        return


UNREPORTED: LoopHealth = _Unreported()


async def retry_on_os_error(run: Callable[[], Awaitable[None]], name: str, condition: LoopHealth = UNREPORTED) -> None:
    """Run a loop to its end; after an OSError, which is logged, again."""
    recovery: asyncio.TimerHandle | None = None
    try:
        while True:
            try:
                return await run()
            except OSError as error:
                log.error("%s: %s; begins again in %g s", name, error, AGAIN_SECONDS)
                condition.failed(one_line(error))
            if recovery is not None:
                recovery.cancel()
            await asyncio.sleep(AGAIN_SECONDS)
            recovery = asyncio.get_running_loop().call_later(AGAIN_SECONDS, condition.works)
    finally:
        if recovery is not None:
            recovery.cancel()
