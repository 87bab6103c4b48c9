"""The store's lock between processes: the agent, its command line, and any other agent on the same folder.

Whoever works in the store (pull, import, mount, delete) holds it shared; the one who cleans up needs it alone and gives up
when he cannot have it at once, since whoever ends his work cleans up after himself. The kernel frees it when a holder dies.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from runtimes.linux.tasks import leave_behind


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _acquire(path: Path) -> int:
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextlib.asynccontextmanager
async def shared(path: Path) -> AsyncIterator[None]:
    """Hold the lock together with others. Waits only for a clean-up in another process or thread (milliseconds)."""
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno != errno.EWOULDBLOCK:
            raise
        fd = await leave_behind(asyncio.to_thread(_acquire, path), undo=os.close)
    try:
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Hold the lock alone; yields False, and holds nothing, when somebody works in the store. Never waits."""
    fd = _open(path)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
            yield False
        else:
            yield True
    finally:
        os.close(fd)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock at `path` alone, waiting for it. Only for sections of a few file operations. Blocks."""
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
