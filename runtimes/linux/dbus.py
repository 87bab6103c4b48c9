"""A client of the system's message bus: calls with a deadline, signals, and connections that are made again.

Foreign errors end here: who calls sees `Unreachable`, `NoAnswer` and `Refused`, and nothing of the library's.
Source: https://dbus.freedesktop.org/doc/dbus-specification.html
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from runtimes.linux.retry import Backoff, RetryPolicy

log = logging.getLogger(__name__)

CALL_TIMEOUT_SECONDS = 30.0
_RECONNECT = RetryPolicy(first_seconds=0.5, cap_seconds=30.0, jitter=0.2)
_STABLE_SECONDS = 60.0
_MAX_UNREAD = 1024
# the library's own, those of the socket, and EOFError for one that was closed by the other side
_LOST = (OSError, EOFError, DBusFastError)


class BusError(Exception):
    """Something on the bus did not go as asked."""


class Unreachable(BusError):
    """There is no bus, or its connection was lost. Try again on a new one."""


class NoAnswer(BusError):
    """The deadline passed."""


class Refused(BusError):
    """The other side answered with the error `name`, such as `org.freedesktop.DBus.Error.AccessDenied`."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """One interface of an object that a service has on the bus."""

    service: str
    path: str
    interface: str


_BUS = Remote(service="org.freedesktop.DBus", path="/org/freedesktop/DBus", interface="org.freedesktop.DBus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a method returned. A file descriptor stands in `body` as its index in `fds`; the caller closes them."""

    body: list[Any]
    fds: list[int]


class Bus:
    """One connection, made by `connected`."""

    def __init__(self, bus: MessageBus, timeout_seconds: float) -> None:
        self._bus = bus
        self._timeout_seconds = timeout_seconds
        self._listeners: set[Signals] = set()
        self._lost = ""
        bus.add_message_handler(self._on_message)

    async def call(self, remote: Remote, member: str, signature: str = "", body: Sequence[Any] = ()) -> Answer:
        """`signature`: of the arguments in `body`. Raises Refused, NoAnswer, Unreachable."""
        if self._lost:
            raise Unreachable(self._lost)
        message = Message(
            destination=remote.service,
            path=remote.path,
            interface=remote.interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer: Message | None = await self._bus.call(message)
        except TimeoutError:
            raise NoAnswer(f"{remote.service} did not answer within {self._timeout_seconds:g}s") from None
        except _LOST as error:
            raise Unreachable(f"the connection was lost: {error}") from error
        if answer is None:  # closed by ourselves
            raise Unreachable("the connection was closed")
        if answer.message_type is MessageType.ERROR:
            raise Refused(answer.error_name or "", " ".join(map(str, answer.body)))
        return Answer(body=list(answer.body), fds=list(answer.unix_fds))

    @contextlib.asynccontextmanager
    async def signals(self, remote: Remote, member: str) -> AsyncIterator["Signals"]:
        """The signals of this name that are sent while the block runs, in order. Raises Refused, NoAnswer, Unreachable."""
        rule = (
            f"type='signal',sender='{remote.service}',path='{remote.path}',"
            f"interface='{remote.interface}',member='{member}'"
        )
        found = Signals(remote, member)
        self._listeners.add(found)
        try:
            await self.call(_BUS, "AddMatch", "s", [rule])
            yield found
        finally:
            self._listeners.discard(found)
            with contextlib.suppress(BusError):
                await self.call(_BUS, "RemoveMatch", "s", [rule])

    async def watch(self) -> None:
        """Wait for the end of the connection; whoever reads signals hears of it then."""
        try:
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # annotated as far as it returns nothing
        except _LOST as error:
            self._lost = f"the connection was lost: {error}"
        else:
            self._lost = "the connection was closed"
        for listener in self._listeners:
            listener.end(self._lost)

    def _on_message(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL:
            for listener in self._listeners:
                listener.offer(message)


class Signals:
    """Their arguments, as an iterator that ends with Unreachable when the connection does.

    Of a reader that stays behind by too many, the oldest are dropped.
    """

    def __init__(self, remote: Remote, member: str) -> None:
        self._remote = remote
        self._member = member
        self._unread: asyncio.Queue[list[Any] | Unreachable] = asyncio.Queue(_MAX_UNREAD)

    def offer(self, message: Message) -> None:
        if (message.path, message.interface, message.member) == (
            self._remote.path,
            self._remote.interface,
            self._member,
        ):
            self._put(list(message.body))

    def end(self, reason: str) -> None:
        self._put(Unreachable(reason))

    def _put(self, item: list[Any] | Unreachable) -> None:
        if self._unread.full():
            self._unread.get_nowait()
        self._unread.put_nowait(item)

    def __aiter__(self) -> "Signals":
        return self

    async def __anext__(self) -> list[Any]:
        item = await self._unread.get()
        if isinstance(item, Unreachable):
            raise item
        return item


@contextlib.asynccontextmanager
async def connected(address: str | None = None, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> AsyncIterator[Bus]:
    """A connection for the block. `address` None: the system's bus. `timeout_seconds`: of each call, and of the connecting.

    Raises Unreachable, NoAnswer.
    """
    library = MessageBus(bus_address=address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
    try:
        try:
            async with asyncio.timeout(timeout_seconds):
                await library.connect()
        except TimeoutError:
            raise NoAnswer(f"the message bus did not answer within {timeout_seconds:g}s") from None
        except _LOST as error:
            raise Unreachable(str(error)) from error
        bus = Bus(library, timeout_seconds)
        watch = asyncio.create_task(bus.watch(), name="dbus-connection")
        try:
            yield bus
        finally:
            watch.cancel()
            await asyncio.wait({watch})
    finally:
        library.disconnect()


async def keep_connected(
    use: Callable[[Bus], Awaitable[None]],
    what: str,
    *,
    address: str | None = None,
    timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Run `use` on a connection, and on a new one whenever it returns or raises a BusError: a bus may restart. Until cancelled.

    `what`: what is done there, for the log, which has a reason once as long as it stays the same.
    """
    backoff = Backoff(_RECONNECT, reset_after_seconds=_STABLE_SECONDS)
    told = ""
    while True:
        try:
            async with connected(address, timeout_seconds=timeout_seconds) as bus:
                await use(bus)
                told = ""
        except BusError as error:
            if str(error) != told:
                told = str(error)
                log.warning("%s: %s", what, error)
        await sleep(backoff.next_delay())
