"""Processes of this host, named so that a reused pid cannot be mistaken for the one that was meant."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from runtimes.oci.records import ProcessRef

log = logging.getLogger(__name__)

# fields of proc(5) stat, counted from after the command's name
_SESSION = 3
_START_TICKS = 19
_ZOMBIE = "Z"
_GONE = -1
_REAPING_SECONDS = 0.005  # nobody tells when a zombie goes; its parent is to reap it at once


def boot_id() -> str:
    """Changes with every boot: pids of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> ProcessRef | None:
    """The process that has `pid` now; None when there is none, or only its zombie."""
    try:
        fields = _stat(pid)
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


def kill_with_descendants(pid: int) -> list[ProcessRef]:
    """SIGKILL a process and everything it started that is still below it; returns what was killed.

    Each is stopped before its children are looked up, so that none starts another meanwhile, or goes on to its next
    command when one has ended. Blocks for some system calls a process.
    """
    found: list[ProcessRef] = []
    waiting = [pid]
    while waiting:
        process = identify(waiting.pop())
        if process is not None and send_signal(process, signal.SIGSTOP):
            found.append(process)
            waiting += _children(process.pid)
    for process in found:
        send_signal(process, signal.SIGKILL)
    return found


def kill_below(pid: int, others: Iterable[int] = ()) -> list[ProcessRef]:
    """The same for all that is below a process, which itself lives on and reaps what was its own.

    Of `others` those are killed, too, that are in a session of theirs: what a command left in the background.
    """
    killed: list[ProcessRef] = []
    sessions: set[int] = set()
    while new := {child for child in _children(pid) if identify(child) is not None} - {known.pid for known in killed}:
        for child in new:
            sessions.add(_session(child))
            killed += kill_with_descendants(child)
    sessions.update(process.pid for process in killed)
    sessions.discard(_GONE)
    for other in others:
        if _session(other) in sessions:
            killed += kill_with_descendants(other)
    return killed


def _session(pid: int) -> int:
    try:
        return int(_stat(pid)[_SESSION])
    except OSError:
        return _GONE


def _stat(pid: int) -> list[str]:
    """proc(5) stat from the state on. Raises OSError."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


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


async def wait_for_all(processes: Collection[ProcessRef], timeout_seconds: float) -> list[ProcessRef]:
    """Those that still live after that long."""
    ended = await asyncio.gather(*(wait_for_end(process, timeout_seconds) for process in processes))
    return [process for process, has_ended in zip(processes, ended, strict=True) if not has_ended]


async def wait_for_reaping(processes: Collection[ProcessRef], timeout_seconds: float) -> None:
    """Until none of them is even a zombie, or for so long: who has to reap may never do it."""
    for _ in range(int(timeout_seconds / _REAPING_SECONDS)):
        if not any(_is_listed(process) for process in processes):
            return
        await asyncio.sleep(_REAPING_SECONDS)


def _is_listed(process: ProcessRef) -> bool:
    try:
        return int(_stat(process.pid)[_START_TICKS]) == process.start_ticks
    except OSError:
        return False


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
