"""The kernel says when memory runs short: what it offers wakes who waits, who else looks when the time has come.

cgroup v1: an eventfd for the usage at which a threshold is met (cgroup-v1/memory, "Memory thresholds"). cgroup v2: changes of
memory.events of what is bounded. Both: a PSI trigger for processes that wait for memory (accounting/psi). None of them is needed.
"""

import asyncio
import contextlib
import errno
import logging
import os
import select
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from runtimes.linux.cgroups.contract import Cgroups

log = logging.getLogger(__name__)

PRESSURE = Path("/proc/pressure/memory")
# waits of 100 ms within a second; who lacks CAP_SYS_RESOURCE may only ask for windows of whole two seconds
TRIGGERS = (b"some 100000 1000000\0", b"some 100000 2000000\0")
REARM_SECONDS = 10.0
SPACING_SECONDS = 0.1  # between two looks, however often the kernel calls
_USAGE, _CONTROL, _EVENTS = "memory.usage_in_bytes", "cgroup.event_control", "memory.events"


class KernelWakeups:
    """`paths`: the cgroups that the node's memory is measured by. `headroom`: bytes until the first threshold, None: none.

    `start` in the loop that `wait` is used in; `close` gives back what the kernel holds.
    """

    def __init__(
        self, cgroups: Cgroups, paths: Sequence[str], *, headroom: Callable[[], int | None], pressure: Path = PRESSURE
    ) -> None:
        self._directories = tuple(folder for path in paths for folder in cgroups.directories(path))
        self._headroom = headroom
        self._pressure = pressure
        self._epoll = select.epoll()
        self._happened = asyncio.Event()
        self._kept: list[int] = []  # descriptors: triggers, and files of events
        self._marks: list[int] = []  # eventfds
        self._armed_at: float | None = None
        self._last_look = 0.0

    def start(self) -> None:
        for descriptor in self._open_files():
            self._kept.append(descriptor)
            self._epoll.register(descriptor, select.EPOLLPRI)
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._wake)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        self._disarm()
        for descriptor in self._kept:
            os.close(descriptor)
        self._epoll.close()

    async def wait(self, seconds: float) -> None:
        """Until the kernel calls, at most `seconds`; never so soon that looking is all that is done."""
        clock = asyncio.get_running_loop().time
        if self._armed_at is None or clock() - self._armed_at >= REARM_SECONDS:
            self._arm()
            self._armed_at = clock()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._happened.wait()
        if (early := SPACING_SECONDS - (clock() - self._last_look)) > 0:
            await asyncio.sleep(early)
        self._happened.clear()
        self._last_look = clock()

    def _wake(self) -> None:
        for descriptor, _ in self._epoll.poll(0):
            if descriptor in self._marks:
                self._armed_at = None  # the mark is behind us: set the next one
            with contextlib.suppress(OSError):  # of an eventfd the count, of a file what has changed: it is ready again
                os.read(descriptor, 8) if descriptor in self._marks else os.pread(descriptor, 4096, 0)
        self._happened.set()

    def _open_files(self) -> Iterator[int]:
        with _absent("PSI"):
            descriptor = os.open(self._pressure, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                _set_trigger(descriptor)
            except OSError:
                os.close(descriptor)
                raise
            yield descriptor
        for folder in self._directories:
            if (folder / _EVENTS).exists():
                with _absent(_EVENTS):
                    descriptor = os.open(folder / _EVENTS, os.O_RDONLY | os.O_CLOEXEC)
                    os.read(descriptor, 4096)
                    yield descriptor

    def _arm(self) -> None:
        """Set the marks anew: usage moves towards them and away, as the page cache grows and shrinks."""
        self._disarm()
        headroom = self._headroom()
        if headroom is None or headroom <= 0:
            return
        for folder in self._directories:
            if (folder / _CONTROL).exists() and (folder / _USAGE).exists():
                with _absent(_CONTROL):
                    self._marks.append(_mark(folder, headroom))
                    self._epoll.register(self._marks[-1], select.EPOLLIN)

    def _disarm(self) -> None:
        for descriptor in self._marks:
            self._epoll.unregister(descriptor)
            os.close(descriptor)
        self._marks = []


def _set_trigger(descriptor: int) -> None:
    """The finest that the kernel grants. Raises OSError."""
    for trigger in TRIGGERS[:-1]:
        try:
            os.write(descriptor, trigger)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM):
                raise
    os.write(descriptor, TRIGGERS[-1])


def _mark(folder: Path, headroom: int) -> int:
    """An eventfd that is told when a v1 cgroup uses so much more than now. Raises OSError."""
    told = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    try:
        with (folder / _USAGE).open("rb") as usage:
            at = int(usage.read()) + headroom
            (folder / _CONTROL).write_text(f"{told} {usage.fileno()} {at}")
    except (OSError, ValueError):
        os.close(told)
        raise
    return told


@contextlib.contextmanager
def _absent(what: str) -> Iterator[None]:
    """What the kernel does not offer is done without."""
    try:
        yield
    except (OSError, ValueError) as error:
        log.debug("no wake-ups by %s: %s", what, error)
