"""Many drivers in one process: `python -m tests.mutants.csi.serving`, until its standard input ends.

A line `FOLDER FORM [CLASS…]` starts the reference driver of that form, wrapped into these mutants or odd ones, or starts it
anew; its state is below the folder, its socket `FOLDER/s`. When it listens, the line comes back.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from csi.driver.server import Server
from csi.driver.settings import Settings
from csi.driver.store import Store, opened
from tests.mutants.csi import MUTANTS, ODD
from tests.mutants.csi.driver import FORMS, Driver


class Parts:
    """The reference driver as one object: each call is that of the part that has it."""

    def __init__(self, parts: Sequence[object]) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        for part in self._parts:
            if hasattr(part, name):
                return getattr(part, name)
        raise AttributeError(name)


class WrappedServer(Server):
    """The first of `wrappers` is asked first."""

    def __init__(self, path: Path, settings: Settings, store: Store, wrappers: Sequence[type[Driver]]) -> None:
        super().__init__(path, settings, store)
        driver: Any = Parts(self._parts)
        for wrapper in reversed(wrappers):
            driver = wrapper(driver, settings, store)
        self._parts = (driver,)


async def serve() -> None:
    """Raises what a driver raises that does not start."""
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with contextlib.AsyncExitStack() as all_of_them:
        running: dict[str, contextlib.AsyncExitStack] = {}
        while line := (await lines.readline()).decode().strip():
            folder, form, *names = line.split()
            if folder in running:
                await running[folder].aclose()
            one = running[folder] = await all_of_them.enter_async_context(contextlib.AsyncExitStack())
            state = Path(folder, "state")
            settings = Settings(state_dir=state, node_id="node-1", **FORMS[form].settings)
            store = one.enter_context(opened(state))
            server = WrappedServer(Path(folder, "s"), settings, store, [(MUTANTS | ODD)[name] for name in names])
            await server.start()
            one.push_async_callback(server.stop)
            print(line, flush=True)


if __name__ == "__main__":
    logging.basicConfig(level="ERROR", stream=sys.stderr)
    asyncio.run(serve())
