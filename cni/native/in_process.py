"""The door for an agent: a chain's plugin of type `nodeagent-cni` runs in the agent's process (`cni.network.Network`).

Commands block for some milliseconds, in threads that are for nothing else: such a thread is in a pod's namespace for a moment.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cni.errors import BY_CODE, PluginError, PluginFailed, PluginTimeout
from cni.native import request
from cni.native.failure import Failure
from cni.native.plugin import Plugin
from cni.native.request import TYPE
from cni.native.restore import restore
from cni.native.rules import Rules
from cni.plugin import Call

_THREADS = 4


class InProcess:
    """Answers as the program would. A command that is given up goes on to its end; the next for the container waits for it."""

    def __init__(self, rules: Callable[[], Rules]) -> None:
        self._plugin = Plugin(rules)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="cni-native")
        self._under_way: dict[str, asyncio.Future[Any]] = {}

    async def __call__(self, call: Call) -> Any:
        """The JSON value of an ADD's result; None for the others. Raises PluginError."""
        container_id = call.environment.get("CNI_CONTAINERID", "")
        try:
            async with asyncio.timeout(call.timeout_seconds):
                while (before := self._under_way.get(container_id)) is not None:
                    await asyncio.wait({before})
                return await asyncio.shield(self._begin(container_id, call))
        except TimeoutError as error:
            raise PluginTimeout(TYPE, call.command, f"no answer within {call.timeout_seconds:g}s") from error
        except Failure as error:
            raise as_error(error, call.command) from error

    async def restore(self, cache_dir: Path) -> None:
        """Have again in force what an earlier process attached (`restore.py`)."""
        await asyncio.get_running_loop().run_in_executor(self._threads, restore, self._plugin, cache_dir)

    def _begin(self, container_id: str, call: Call) -> "asyncio.Future[Any]":
        context = contextvars.copy_context()  # as asyncio.to_thread: logs and observers know whom it is for
        future = asyncio.get_running_loop().run_in_executor(self._threads, context.run, self._run, call)
        if container_id:
            self._under_way[container_id] = future
            future.add_done_callback(lambda _: self._under_way.pop(container_id, None))
        return future

    def _run(self, call: Call) -> Any:
        environment = {**call.environment, "CNI_COMMAND": call.command}
        return self._plugin.run(request.parse(environment, call.config))


def as_error(failure: Failure, command: str) -> PluginError:
    """What the executable's answer would have become."""
    kind = BY_CODE.get(failure.code, PluginFailed)
    return kind(TYPE, command, failure.message, code=failure.code, details=failure.details)
