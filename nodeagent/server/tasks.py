"""Ending tasks, also when whoever ends them is cancelled meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


async def end_tasks(*tasks: "asyncio.Task[Any]", then: Callable[[], Awaitable[object]] | None = None) -> None:
    """Cancel the tasks, wait until they have cleaned up, then do `then`. A second cancellation does not interrupt that."""
    for task in tasks:
        task.cancel()
    await asyncio.shield(asyncio.ensure_future(_ended(tasks, then)))


async def _ended(tasks: "tuple[asyncio.Task[Any], ...]", then: Callable[[], Awaitable[object]] | None) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    if then is not None:
        await then()
