"""Carry a process's streams to a client and back, whatever protocol the client speaks."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from nodeagent.server.exit_status import ExitStatus, exited, failed
from nodeagent.server.idle_timeout import IdleTimer
from runtimes.contract import StreamSession
from runtimes.errors import RuntimeFault
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.tasks import end_tasks

log = logging.getLogger(__name__)

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedStreams:
    """The streams that a client asked for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "RequestedStreams":
        """From a request: each is true only for exactly "1". A terminal has one output, so its stderr is dropped."""
        tty = query.get("tty") == "1"
        return cls(
            stdin=query.get("input") == "1",
            stdout=query.get("output") == "1",
            stderr=query.get("error") == "1" and not tty,
            tty=tty,
        )

    @property
    def nothing(self) -> bool:
        return not (self.stdin or self.stdout or self.stderr)


class ProcessClient(Protocol):
    """The client's side of an exec or attach, after its handshake."""

    async def send(self, stream: int, data: bytes) -> None:
        """Output of the process; returns when the client takes more. Raises ConnectionResetError."""
        ...

    async def receive(self, session: StreamSession) -> None:
        """Give the process what the client sends; returns when the client has gone."""
        ...

    async def finish(self, ending: ExitStatus) -> None:
        """Tell how it ended, after all output, and close. Raises ConnectionResetError."""
        ...


async def carry(client: ProcessClient, session: StreamSession, *, failure: str, idle: IdleTimer) -> None:
    """Until the process ends, the client goes, or nothing has happened for too long. Closes the session.

    `failure`: how the text of an error begins.
    """
    sending = asyncio.create_task(_send(client, session), name="stream output")
    receiving = asyncio.create_task(client.receive(session), name="stream input")
    waiting = asyncio.create_task(idle.expired(), name="stream idle")
    try:
        await asyncio.wait({sending, receiving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            with contextlib.suppress(ConnectionResetError):
                await client.finish(_ending(sending, failure))
    finally:
        await end_tasks(sending, receiving, waiting, then=session.close)


async def _send(client: ProcessClient, session: StreamSession) -> int:
    """The output to its end, then the exit code."""
    async for stream, data in session.output():
        await client.send(stream, data)
    return await session.wait()


def _ending(sending: "asyncio.Task[int]", failure: str) -> ExitStatus:
    """Raises ConnectionResetError when it was the client that went."""
    error = sending.exception()
    if error is None:
        return exited(sending.result())
    if isinstance(error, RuntimeFault):
        return failed(failure, error.message)
    if isinstance(error, ConnectionResetError):
        raise error
    log.error("a stream broke off", exc_info=error)
    return failed(failure, "internal error")


def terminal_size(document: object) -> tuple[int, int] | None:
    """(width, height) of a resize message; None for one that says nothing."""
    if not isinstance(document, dict):
        return None
    width, height = document.get("Width"), document.get("Height")
    if isinstance(width, int) and isinstance(height, int) and 0 <= width <= 65535 and 0 <= height <= 65535:
        return width, height
    return None


def decode_size(data: bytes) -> tuple[int, int] | None:
    try:
        return terminal_size(msgspec.json.decode(data))
    except UNREADABLE:
        return None
