"""Blocking file system work off the event loop, never left behind half done by a cancellation."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def run_blocking(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run `function` in a worker thread. A cancelled caller waits for its end: what undoes the work must not meet it."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError:  # a second cancellation changes nothing: the thread cannot be stopped
                continue
        if not work.cancelled():
            work.exception()  # looked at: the caller is gone
        raise
