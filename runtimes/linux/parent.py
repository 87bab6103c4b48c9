"""The end of the process that started this one."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def parent_watch(loop: asyncio.AbstractEventLoop, ended: Callable[[], object]) -> Iterator[None]:
    """Call `ended` in the loop when the parent ends. By a pidfd: a parent-death signal follows the thread that forked."""
    parent = os.getppid()
    try:
        descriptor = os.pidfd_open(parent)
    except ProcessLookupError:
        ended()
        yield
        return
    if os.getppid() != parent:
        ended()
    loop.add_reader(descriptor, ended)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
