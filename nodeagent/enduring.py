"""Loops that a machine in trouble does not end: no descriptors, no space, a disk that fails.

Such an error is of a moment and of one thing; the agent, whose pods go on, must be there when it is over. Any other error of a
loop is a mistake of ours, and ends the agent.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0


async def enduring(run: Callable[[], Awaitable[None]], name: str) -> None:
    """Run a loop to its end; after an OSError, which is told, again."""
    while True:
        try:
            return await run()
        except OSError as error:
            log.error("%s: %s; begins again in %g s", name, error, AGAIN_SECONDS)
        await asyncio.sleep(AGAIN_SECONDS)
