"""A controller running beside a test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest


@asynccontextmanager
async def _running(controller: Any, settled: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(controller.run())
    await settled()
    try:
        yield
    finally:
        if task.done():
            task.result()  # a controller that ended by itself has failed: show how
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def running(settled: Any) -> Callable[[Any], Any]:
    """`async with running(controller):` runs it for the block, started and settled."""
    return lambda controller: _running(controller, settled)
