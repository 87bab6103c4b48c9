"""Pipes, terminals and packet sockets on the event loop: read and written only when somebody asks, so nothing piles up."""

import asyncio
import errno
import os
from collections.abc import Callable

_CHUNK_BYTES = 65536
# how an other end that is gone says so; EIO is a terminal's way
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.EIO, errno.EBADF, errno.ENOTCONN})


class AsyncFd:
    """A non-blocking descriptor, owned. One reader and one writer at a time."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def fileno(self) -> int:
        return self._fd

    async def read(self, max_bytes: int = _CHUNK_BYTES) -> bytes:
        """What is there; b"" at the end, or after `close`."""
        while not self.closed:
            try:
                return os.read(self._fd, max_bytes)
            except BlockingIOError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
            except OSError as error:
                if error.errno in _GONE:
                    return b""
                raise
        return b""

    async def write(self, data: bytes, *, packet_bytes: int = _CHUNK_BYTES) -> bool:
        """All of `data`, in writes of at most `packet_bytes`; False when nobody reads any more (the rest is dropped)."""
        view = memoryview(data)
        while view and not self.closed:
            try:
                view = view[os.write(self._fd, view[:packet_bytes]) :]
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)
            except OSError as error:
                if error.errno in _GONE:
                    return False
                raise
        return not view

    async def readable(self) -> None:
        """Something is there to be read, or the end."""
        await self._ready(self._loop.add_reader, self._loop.remove_reader)

    async def _ready(self, add: Callable[..., None], remove: Callable[[int], object]) -> None:
        fd, ready = self._fd, self._loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        self._waiting.add(ready)
        add(fd, wake)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if not self.closed:
                remove(fd)

    def close(self) -> None:
        if self.closed:
            return
        fd, self._fd = self._fd, -1
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        os.close(fd)
        for ready in self._waiting:
            if not ready.done():
                ready.set_result(None)
