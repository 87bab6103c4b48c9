"""One thread for those who read many small files of the kernel: /proc and cgroups. The other threads stay free for what waits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

_READER = ThreadPoolExecutor(1, "figures")


async def read_figures(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run `function` after those that are before it. It must wait for nothing: no server, no lock. Raises what it raises."""
    return await asyncio.get_running_loop().run_in_executor(_READER, lambda: function(*args, **kwargs))
