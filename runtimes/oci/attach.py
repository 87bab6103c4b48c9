"""Attaching to a running container through conmon's socket: one more reader of its output, one more writer of its input."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from typing_extensions import override

from runtimes import errors
from runtimes.contract import StreamSession
from runtimes.oci import conmon
from runtimes.oci.entities import Container
from runtimes.oci.fds import AsyncFd

_PACKET_BYTES = 8192  # conmon reads a packet into a buffer of four times that and forgets the rest


class AttachSession(StreamSession):
    """conmon copies to all that are attached, and waits for each: a slow reader slows the container, as upstream."""

    def __init__(
        self, container: Container, bundle: Path, fd: AsyncFd, *, stdin: bool, wanted: frozenset[int], terminal: bool
    ) -> None:
        self._container = container
        self._bundle = bundle
        self._fd = fd
        self._stdin = stdin
        self._wanted = wanted
        self._terminal = terminal
        self._ended = asyncio.Event()
        container.sessions.add(self)

    @override
    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        try:
            while packet := await self._fd.read():
                number = 2 if packet[0] == conmon.STDERR_PIPE else 1
                if number in self._wanted:
                    yield number, packet[1:]
        finally:
            self._end()

    @override
    async def write_stdin(self, data: bytes) -> None:
        if self._stdin:
            await self._fd.write(data, packet_bytes=_PACKET_BYTES)

    @override
    async def close_stdin(self) -> None:
        """conmon closes the container's input, if it was asked to do so after the first attach (stdinOnce)."""
        if self._stdin and not self._fd.closed:
            self._stdin = False
            with socket.socket(fileno=os.dup(self._fd.fileno())) as duplicate:
                try:
                    duplicate.shutdown(socket.SHUT_WR)
                except OSError:
                    return  # the container is gone

    @override
    async def resize(self, width: int, height: int) -> None:
        if self._terminal:
            conmon.resize(self._bundle, width, height)

    @override
    async def wait(self) -> int:
        await self._ended.wait()
        return 0

    @override
    async def close(self) -> None:
        self._fd.close()
        self._end()

    def _end(self) -> None:
        self._container.sessions.discard(self)
        self._ended.set()


async def open_attach(
    container: Container, bundle: Path, *, stdin: bool, stdout: bool, stderr: bool, timeout_seconds: float
) -> AttachSession:
    """Raises WrongState when the container does not run, Timeout."""
    if not container.running:
        raise errors.WrongState(f"container {container.id} is not running")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setblocking(False)
    try:
        # by way of a descriptor, since the path may be longer than a socket address
        directory = os.open(bundle, os.O_PATH | os.O_CLOEXEC)
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.get_running_loop().sock_connect(connection, f"/proc/self/fd/{directory}/attach")
        finally:
            os.close(directory)
    except TimeoutError:
        connection.close()
        raise errors.Timeout("the container's monitor does not answer") from None
    except OSError as error:
        connection.close()
        raise errors.WrongState(f"container {container.id} cannot be attached to: {error.strerror}") from error
    wanted = frozenset(number for number, asked in ((1, stdout), (2, stderr)) if asked)
    return AttachSession(
        container,
        bundle,
        AsyncFd(connection.detach()),
        stdin=stdin and container.config.stdin,
        wanted=frozenset({1}) if container.config.tty and stdout else wanted,
        terminal=container.config.tty,
    )
