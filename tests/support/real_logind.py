"""systemd's own logind, alone on a message bus of the test's, with a systemd that the test plays and that shuts nothing down.

It runs in mount and PID namespaces of its own: what it writes below /run and /etc/systemd stays there, and it has no consoles.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from dbus_fast import Message, MessageType, Variant
from message_bus import BusUnderTest

PROGRAM = "/lib/systemd/systemd-logind"
_SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_JOB = f"{_SYSTEMD[1]}/job/1"
_SETUP = """
set -e
mount -t tmpfs none /run && mkdir /run/systemd
mount -t tmpfs none /etc/systemd && mkdir /etc/systemd/logind.conf.d
printf '[Login]\\nNAutoVTs=0\\nReserveVT=0\\n' > /etc/systemd/logind.conf
mount --bind "$1" /etc/systemd/logind.conf.d
"$2" &
wait
"""


@dataclass
class RealLogind:
    """`started`: the units that logind has asked systemd for; `asked` is set with the first."""

    folder: Path
    started: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.bus = BusUnderTest(self.folder)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def drop_ins(self) -> Path:
        return self.folder / "logind.conf.d"

    async def start(self) -> None:
        """Returns when it answers to its name."""
        self.drop_ins.mkdir()
        await self.bus.start(self._systemd, _SYSTEMD[0])
        self._process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"),
            *("sh", "-c", _SETUP, "sh", str(self.drop_ins), PROGRAM),
            env={"PATH": os.environ["PATH"], "DBUS_SYSTEM_BUS_ADDRESS": self.bus.address},
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        ask = Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="NameHasOwner",
            signature="s",
            body=["org.freedesktop.login1"],
        )
        async with asyncio.timeout(30):
            while not (answer := await self.bus.service.call(ask)) or not answer.body[0]:
                assert self._process.returncode is None, "logind has ended"
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
        await self.bus.stop()

    def job_ends(self) -> None:
        """systemd says that what logind has asked for is over."""
        body = [1, _JOB, self.started[-1], "canceled"]
        self.bus.service.send(Message.new_signal(_SYSTEMD[1], _SYSTEMD[2], "JobRemoved", "uoss", body))

    def _systemd(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        match message.member, message.body:
            case "Subscribe", _:
                return Message.new_method_return(message)
            case "Get", [_, "LoadState"]:
                return Message.new_method_return(message, "v", [Variant("s", "loaded")])
            case "StartUnit", [unit, _]:
                self.started.append(unit)
                self.asked.set()
                return Message.new_method_return(message, "o", [_JOB])
            case "KillUnit", ["systemd-logind.service", "all", signal.SIGHUP]:
                assert self._process is not None
                below = psutil.Process(self._process.pid).children(recursive=True)
                next(each for each in below if each.name() == "systemd-logind").send_signal(signal.SIGHUP)
                return Message.new_method_return(message)
        return None


@contextlib.asynccontextmanager
async def real_logind(folder: Path) -> AsyncIterator[RealLogind]:
    made = RealLogind(folder)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
