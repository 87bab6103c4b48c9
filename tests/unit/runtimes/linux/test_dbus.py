"""Calls, signals and lost connections, over a real message bus, to a service that this test plays."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from components import needs
from dbus_fast import Message, MessageType
from message_bus import BusUnderTest

from runtimes.linux.dbus import Bus, NoAnswer, Refused, Remote, Unreachable, connected, keep_connected

pytestmark = needs("dbus-daemon")

SERVICE = Remote(service="org.example.Login", path="/org/example/login", interface="org.example.Login.Manager")


class Daemon(BusUnderTest):
    """A message bus, and the service on it."""

    async def begin(self) -> None:
        await self.start(self._handle, SERVICE.service)

    def _handle(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL or message.interface != SERVICE.interface:
            return None
        match message.member:
            case "Add":
                return Message.new_method_return(message, "i", [sum(message.body)])
            case "Inhibit":
                reader, writer = os.pipe()
                os.close(reader)
                return Message.new_method_return(message, "h", [0], [writer])
            case "Refuse":
                return Message.new_error(message, "org.example.Error.No", "not today")
        return True  # no answer

    def emit(self, member: str, value: int, path: str = SERVICE.path) -> None:
        self.service.send(Message.new_signal(path, SERVICE.interface, member, "i", [value]))


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    found = Daemon(tmp_path)
    await found.begin()
    yield found
    await found.stop()


async def test_a_call_and_its_answer(daemon: Daemon) -> None:
    """Arguments go there by their signature, values come back, file descriptors too."""
    async with connected(daemon.address) as bus:
        assert (await bus.call(SERVICE, "Add", "ii", [2, 3])).body == [5]
        answer = await bus.call(SERVICE, "Inhibit")
        os.close(answer.fds[answer.body[0]])


async def test_what_the_other_side_refuses(daemon: Daemon) -> None:
    """By its error's name, with what it said; the connection goes on."""
    async with connected(daemon.address) as bus:
        with pytest.raises(Refused, match="not today") as caught:
            await bus.call(SERVICE, "Refuse")
        assert caught.value.name == "org.example.Error.No"
        nobody = Remote(service="org.example.Nobody", path="/", interface="a.b")
        with pytest.raises(Refused) as caught:
            await bus.call(nobody, "Anything")
        assert caught.value.name == "org.freedesktop.DBus.Error.ServiceUnknown"
        assert (await bus.call(SERVICE, "Add", "ii", [2, 3])).body == [5]


async def test_silence_has_an_end(daemon: Daemon) -> None:
    """The deadline is the call's."""
    async with connected(daemon.address, timeout_seconds=0.2) as bus:
        with pytest.raises(NoAnswer, match=r"org\.example\.Login did not answer within 0\.2s"):
            await bus.call(SERVICE, "Silent")


async def test_no_bus(tmp_path: Path) -> None:
    """No socket is an error of the same kind as a lost connection."""
    with pytest.raises(Unreachable, match="No such file"):
        async with connected(f"unix:path={tmp_path}/none"):
            pass


async def test_signals_in_order(daemon: Daemon) -> None:
    """Those that were asked for and no others: of that name, of that object."""
    async with connected(daemon.address) as bus, bus.signals(SERVICE, "Told") as signals:
        daemon.emit("Other", 1)
        daemon.emit("Told", 2, path="/elsewhere")
        daemon.emit("Told", 3)
        daemon.emit("Told", 4)
        assert [await anext(signals), await anext(signals)] == [[3], [4]]


async def test_a_lost_connection_is_told_to_all(daemon: Daemon) -> None:
    """Who reads signals, who waits for an answer, and who calls later."""
    async with connected(daemon.address) as bus, bus.signals(SERVICE, "Told") as signals:
        calling = asyncio.create_task(bus.call(SERVICE, "Silent"))
        await bus.call(SERVICE, "Add", "ii", [2, 3])
        await daemon.stop()
        with pytest.raises(Unreachable):
            await anext(signals)
        with pytest.raises(Unreachable):
            await calling
        with pytest.raises(Unreachable):
            await bus.call(SERVICE, "Add", "ii", [2, 3])


async def test_connections_are_made_again(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    """A bus that restarts: the work begins again on a new connection, and what was wrong is in the log once."""
    seen: asyncio.Queue[Any] = asyncio.Queue()

    async def use(bus: Bus) -> None:
        async with bus.signals(SERVICE, "Told") as signals:
            seen.put_nowait("connected")
            async for body in signals:
                seen.put_nowait(body)

    async def sleep(_: float) -> None:
        await asyncio.sleep(0.01)

    task = asyncio.create_task(keep_connected(use, "watching logins", address=daemon.address, sleep=sleep))
    assert await seen.get() == "connected"
    daemon.emit("Told", 1)
    assert await seen.get() == [1]
    await daemon.stop()
    await daemon.begin()
    assert await seen.get() == "connected"
    daemon.emit("Told", 2)
    assert await seen.get() == [2]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    told = [record.getMessage() for record in caplog.records if "watching logins" in record.getMessage()]
    assert told[0].startswith("watching logins: the connection was lost")
    assert len(told) == len(set(told))
