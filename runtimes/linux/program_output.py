"""What a program prints, piece by piece as the reader takes it: for output that is too much to hold."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncGenerator, Sequence

from runtimes.linux.process import ProcessTimeout, ProgramNotFound

_READ_BYTES = 64 * 1024


async def program_output(argv: Sequence[str], *, timeout_seconds: float) -> AsyncGenerator[bytes, None]:
    """Both of its output streams as one, until it ends. How it ended is not told.

    A reader that stops ends the program, too, with its process group. Raises ProgramNotFound, ProcessTimeout (it was killed), and
    OSError for other failures to start.
    """
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    child = _start(argv)
    assert child.stdout is not None
    fd = child.stdout.fileno()
    os.set_blocking(fd, False)
    try:
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    await _readable(fd)
            except TimeoutError:
                raise ProcessTimeout(argv, timeout_seconds) from None
            piece = os.read(fd, _READ_BYTES)
            if not piece:
                return
            yield piece
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.stdout.close()
        await asyncio.shield(asyncio.to_thread(child.wait))


def _start(argv: Sequence[str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            argv,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise ProgramNotFound(argv, f"cannot run {argv[0]}: {error.strerror}") from error


async def _readable(fd: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
