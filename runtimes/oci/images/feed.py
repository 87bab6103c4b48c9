"""A layer's plain bytes on their way from the audit to umoci: through a named pipe, so that a layer is inflated once.

umoci gets the bytes that the audit has looked at, and no others. The reader may die at any moment; the writer, a thread, then
goes on without it and never hangs.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

_PIPE_BYTES = 1024 * 1024


class Sink:
    """The writing end. Every call blocks while the reader is behind; without a reader it does nothing."""

    def __init__(self, path: Path) -> None:
        """Waits until somebody opens the pipe to read, or `unblock` is called."""
        self._fd = -1
        with contextlib.suppress(FileNotFoundError):  # it has been unblocked: nobody will read
            self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            with contextlib.suppress(PermissionError):  # the user's pipes are at their limit: a smaller one will do
                fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and self._fd >= 0:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BrokenPipeError:
                self.close()

    def close(self) -> None:
        """The reader sees the end. Repeatable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def unblock(pipes: Iterable[Path]) -> None:
    """Let go whoever waits for a reader of these pipes, now and later. Repeatable, never blocks."""
    for path in pipes:
        with contextlib.suppress(FileNotFoundError):
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            path.unlink()
            os.close(reader)
