"""/debug/pprof/: what this process does inside, in the place of a Go program's profiles and for the same askers.

`profile` is CPU time (`cpu_profile`), `goroutine` what the tasks and threads wait for. Nothing here shows a value of a variable.
"""

import asyncio
import sys
import threading
import traceback
from types import FrameType
from typing import Any

from aiohttp import web

from nodeagent.server.cpu_profile import cpu_profile
from runtimes.kube.whole_number import whole_number

PATH = "/debug/pprof"
DEFAULT_SECONDS, MAX_SECONDS = 30, 300
_INDEX = f"""{PATH}/
This is no Go program; what it has in their place, as text:

profile    CPU time by stack, folded for flame graphs, in microseconds; ?seconds={DEFAULT_SECONDS}
goroutine  the stacks of all tasks and threads
"""


class Profiles:
    """One CPU profile at a time."""

    def __init__(self) -> None:
        self._profiling = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(PATH, self.index),
            web.get(f"{PATH}/", self.index),
            web.get(f"{PATH}/profile", self.profile),
            web.get(f"{PATH}/goroutine", self.stacks),
            web.get(f"{PATH}/{{name}}", self.unknown),
        ]

    async def index(self, request: web.Request) -> web.Response:
        return web.Response(text=_INDEX)

    async def unknown(self, request: web.Request) -> web.Response:
        return web.Response(status=404, text=f"Unknown profile; there is {PATH}/\n")

    async def profile(self, request: web.Request) -> web.Response:
        """Takes as long as it looks; a client that goes ends it."""
        seconds = whole_number(request.query.get("seconds") or str(DEFAULT_SECONDS))
        if seconds is None or not 1 <= seconds <= MAX_SECONDS:
            return web.Response(status=400, text=f"seconds must be between 1 and {MAX_SECONDS}\n")
        if self._profiling:
            return web.Response(status=500, text="Could not enable CPU profiling: cpu profiling already in use\n")
        self._profiling, stop = True, threading.Event()
        try:
            return web.Response(text=await asyncio.to_thread(cpu_profile, seconds, stop))
        finally:
            stop.set()
            self._profiling = False

    async def stacks(self, request: web.Request) -> web.Response:
        return web.Response(text=_threads() + _tasks())


def _threads() -> str:
    frames = sys._current_frames()
    named = {thread.ident: thread.name for thread in threading.enumerate()}
    return "".join(
        f"thread {named.get(ident, ident)}:\n{''.join(_lines(traceback.extract_stack(frame)))}\n"
        for ident, frame in frames.items()
    )


def _tasks() -> str:
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    return "".join(f"task {task.get_name()}:\n{''.join(_lines(_stack(task)))}\n" for task in tasks)


def _stack(task: "asyncio.Task[Any]") -> traceback.StackSummary:
    """From the task's own coroutine through all that it awaits, as far as that is Python."""
    frames: list[tuple[FrameType, int]] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = next(
            (found for name in ("cr_frame", "gi_frame", "ag_frame") if (found := getattr(awaited, name, None))), None
        )
        if frame is None:
            break
        frames.append((frame, frame.f_lineno))
        awaited = next(
            (found for name in ("cr_await", "gi_yieldfrom", "ag_await") if (found := getattr(awaited, name, None))),
            None,
        )
    return traceback.StackSummary.extract(iter(frames), lookup_lines=False)


def _lines(stack: traceback.StackSummary) -> list[str]:
    """Without the source: where, not what."""
    return [f"    {frame.name} {frame.filename}:{frame.lineno}\n" for frame in stack]
