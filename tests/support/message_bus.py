"""A message bus of a test's own, and the connection of a service that the test plays on it."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from dbus_fast import Message, NameFlag
from dbus_fast.aio import MessageBus

Handler = Callable[[Message], Message | bool | None]


class BusUnderTest:
    """A daemon whose socket is in `folder`. `service`: the connection of whoever plays it, from `start` on."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:path={folder}/bus"
        self.service: MessageBus
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, handler: Handler, *names: str) -> None:
        """Returns when the service has these names, and `handler` its calls. Nothing is left running by a failure."""
        self._process = await asyncio.create_subprocess_exec(
            *("dbus-daemon", "--session", "--nofork", "--print-address", f"--address={self.address}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"]},  # it would tell a service manager that it is ready
        )
        try:
            assert self._process.stdout is not None
            assert await self._process.stdout.readline(), "the bus does not start"
            self.service = await MessageBus(bus_address=self.address, negotiate_unix_fd=True).connect()
            self.service.add_message_handler(handler)
            for name in names:
                await self.service.request_name(name, NameFlag.DO_NOT_QUEUE)
        except BaseException:
            await self._end()
            raise

    async def stop(self) -> None:
        """The daemon goes first: for those that are connected, the bus is lost, and not the service. Repeatable."""
        if self._process is not None:
            await self._end()
            self.service.disconnect()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                process.terminate()
            await process.wait()
