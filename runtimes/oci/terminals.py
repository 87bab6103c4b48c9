"""Pseudo terminals of exec'd processes: one of ours given to the runtime, or the one inside, handed out by the runtime."""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
import tty
from pathlib import Path

from runtimes import errors
from runtimes.oci.child import Child
from runtimes.oci.fds import AsyncFd

_WINDOW_SIZE = struct.Struct("HHHH")


def set_size(fd: int, width: int, height: int) -> None:
    """The kernel tells the foreground process of the terminal (SIGWINCH)."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, _WINDOW_SIZE.pack(height, width, 0, 0))


def open_pair(*, raw: bool) -> tuple[int, int]:
    """(master, slave). `raw`: the runtime has another terminal inside and this one only passes bytes."""
    master, slave = os.openpty()
    if raw:
        tty.setraw(slave)
    return master, slave


class ConsoleSocket:
    """Where the runtime sends the master side of the terminal it made inside the container (`--console-socket`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
        try:
            # by way of a descriptor, since the path may be longer than a socket address
            self._listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
        self._listener.listen(1)

    async def receive(self, runtime: Child, *, timeout_seconds: float) -> AsyncFd | None:
        """The terminal; None when the runtime ended without sending one. Raises Timeout."""
        loop = asyncio.get_running_loop()
        accepting = loop.create_task(loop.sock_accept(self._listener))
        ending = loop.create_task(runtime.wait())
        try:
            await asyncio.wait({accepting, ending}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            if not accepting.done():
                if ending.done():
                    return None
                raise errors.Timeout(f"the runtime sent no terminal within {timeout_seconds:g}s")
            connection, _ = accepting.result()
        finally:
            for task in (accepting, ending):
                task.cancel()
            await asyncio.gather(accepting, ending, return_exceptions=True)
        with connection:
            return await self._receive_fd(connection, timeout_seconds)

    async def _receive_fd(self, connection: socket.socket, timeout_seconds: float) -> AsyncFd | None:
        waiting = AsyncFd(os.dup(connection.fileno()))
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiting.readable()
            _, fds, _, _ = socket.recv_fds(connection, 4096, 1)
        except TimeoutError:
            raise errors.Timeout(f"the runtime sent no terminal within {timeout_seconds:g}s") from None
        finally:
            waiting.close()
        return AsyncFd(fds[0]) if fds else None

    def close(self) -> None:
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
