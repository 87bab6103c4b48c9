"""A message bus of a test's own, and a logind on it that shuts no machine down: for the agent it is the system's."""

import asyncio
import os
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, Variant
from message_bus import BusUnderTest

_LOGIN1 = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_SYSTEMD = "org.freedesktop.systemd1"


@dataclass
class Logind:
    """`delay_seconds`: InhibitDelayMaxUSec; a SIGHUP reads it from the drop-in, unless `deaf`. `asked`: of Inhibit."""

    folder: Path
    delay_seconds: float = 5.0
    preparing: bool = False
    deaf: bool = False
    asked: list[list[Any]] = field(default_factory=list)
    locks: list[int] = field(default_factory=list)  # our ends: at their end of file the lock was given back

    def __post_init__(self) -> None:
        self.bus = BusUnderTest(self.folder)

    @property
    def address(self) -> str:
        return self.bus.address

    @property
    def drop_ins(self) -> Path:
        return self.folder / "logind.conf.d"

    async def start(self) -> None:
        await self.bus.start(self._handle, _LOGIN1[0], _SYSTEMD)

    async def stop(self) -> None:
        """The bus ends; locks that were given stay what they are."""
        await self.bus.stop()

    def held(self) -> list[bool]:
        """Of each lock that was given, the first one first: whether it is still held."""
        return [not select.select([lock], [], [], 0)[0] for lock in self.locks]

    async def when_held(self, *expected: bool) -> None:
        """Wait until just these locks are held."""
        while self.held() != list(expected):  # noqa: ASYNC110  # a descriptor that is closed tells nobody
            await asyncio.sleep(0.01)

    def announce(self, begins: bool) -> None:
        """PrepareForShutdown, as the real one says it before it shuts down, or when it does not after all."""
        self.preparing = begins
        self.bus.service.send(Message.new_signal(_LOGIN1[1], _LOGIN1[2], "PrepareForShutdown", "b", [begins]))

    def _handle(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        match message.member, message.body:
            case "Get", [_, "InhibitDelayMaxUSec"]:
                return Message.new_method_return(message, "v", [Variant("t", int(self.delay_seconds * 1e6))])
            case "Get", [_, "PreparingForShutdown"]:
                return Message.new_method_return(message, "v", [Variant("b", self.preparing)])
            case "Inhibit", _:
                return self._inhibit(message)
            case "KillUnit", ["systemd-logind.service", "all", 1]:
                self._read_drop_ins()
                return Message.new_method_return(message)
        return None

    def _inhibit(self, message: Message) -> Message:
        self.asked.append(message.body)
        reader, writer = os.pipe()
        self.locks.append(reader)
        # the library duplicates it with the message, and is asked to forget its own afterwards
        asyncio.get_running_loop().call_later(0.05, os.close, writer)
        return Message.new_method_return(message, "h", [0], [writer])

    def _read_drop_ins(self) -> None:
        for path in () if self.deaf else sorted(self.drop_ins.glob("*.conf")):
            for line in path.read_text().splitlines():
                name, _, value = line.partition("=")
                if name == "InhibitDelayMaxSec":
                    self.delay_seconds = float(value)


@asynccontextmanager
async def logind(folder: Path, **fields: Any) -> AsyncIterator[Logind]:
    made = Logind(folder, **fields)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
        for lock in made.locks:
            os.close(lock)
