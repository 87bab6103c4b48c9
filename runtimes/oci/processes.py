"""Processes of this host, named so that a reused pid cannot be mistaken for the one that was meant."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from runtimes.oci.records import ProcessRef

log = logging.getLogger(__name__)

_START_TICKS = 19  # field 22 of proc(5) stat, counted from after the command name and state
_ZOMBIE = "Z"


def boot_id() -> str:
    """Changes with every boot: pids of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> ProcessRef | None:
    """The process that has `pid` now; None when there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] == _ZOMBIE:
        return None
    return ProcessRef(pid=pid, start_ticks=int(fields[_START_TICKS]))


def is_alive(process: ProcessRef | None) -> bool:
    return process is not None and identify(process.pid) == process


def send_signal(process: ProcessRef, number: int) -> bool:
    """Signal exactly this process; False when it is gone."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        # The descriptor pins whatever has the pid now; only then is the comparison worth anything.
        if identify(process.pid) != process:
            return False
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def kill_with_descendants(pid: int) -> None:
    """SIGKILL a process and everything it started that is still below it. Blocks for a few system calls a process."""
    for child in _children(pid):
        kill_with_descendants(child)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                children += map(int, (task / "children").read_text().split())
    return children


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """(pid, argv) of every process that has one."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if argv := (entry / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0"):
                    yield int(entry.name), argv


async def wait_for_end(process: ProcessRef, timeout_seconds: float) -> bool:
    """False when it still lives after that long."""
    ended = asyncio.Event()
    try:
        watch = EndWatch(process, ended.set)
    except ProcessLookupError:
        return True
    try:
        async with asyncio.timeout(timeout_seconds):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        watch.close()
    return True


class EndWatch:
    """Calls back once when a process ends, without asking again and again: a pidfd on the event loop."""

    def __init__(self, process: ProcessRef, callback: Callable[[], None]) -> None:
        """Raises ProcessLookupError when it is gone already."""
        self._fd = os.pidfd_open(process.pid)
        self._loop = asyncio.get_running_loop()
        if identify(process.pid) != process:
            os.close(self._fd)
            raise ProcessLookupError(process.pid)
        self._callback = callback
        self._loop.add_reader(self._fd, self._ended)

    def _ended(self) -> None:
        self.close()
        self._callback()

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
