"""Tells whom the kernel killed because the node had no memory left. Source: docs/facts/node-resources.md 13.

Kills in a container's own cgroup are told by the container's status; here are those for want of the node's memory: of all
memory, or of a cgroup that bounds all pods (cgroupRoot, or one above it).
"""

import asyncio
import contextlib
import errno
import logging
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from nodeagent.api.events import WARNING, NodeEvents

log = logging.getLogger(__name__)

KMSG = Path("/dev/kmsg")
_RECORD_BYTES = 8192  # the kernel's records are shorter (Documentation/ABI/testing/dev-kmsg)
# of mm/oom_kill.c, since Linux 5.0: what was killed, and for the memory of what
_KILL = re.compile(
    r"oom-kill:constraint=\w+,.*?,(?:global_oom|oom_memcg=(?P<bound>\S*?)),task_memcg=\S*?,"
    r"task=(?P<name>.*),pid=(?P<pid>\d+),uid=\d+$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """`bound`: the cgroup whose limit was reached, empty: the machine's memory was used up."""

    name: str
    pid: int
    bound: str = ""


def kill_of(record: str) -> Kill | None:
    """What a record of /dev/kmsg says; None: of no kill, or not by the kernel. Pure."""
    prefix, _, text = record.partition(";")
    priority = prefix.partition(",")[0]
    if (
        not priority.isdigit() or int(priority) >= 8
    ):  # the facility is the kernel's own, 0: processes may write records, too
        return None
    found = _KILL.match(text.partition("\n")[0])
    if found is None:
        return None
    return Kill(name=found["name"], pid=int(found["pid"]), bound=found["bound"] or "")


class OOMWatch:
    """`bounds`: the cgroups whose memory is the node's."""

    def __init__(self, events: NodeEvents, bounds: Collection[str], *, kmsg: Path = KMSG) -> None:
        self._events = events
        self._bounds = frozenset(bounds) | {"", "/"}
        self._kmsg = kmsg

    async def run(self) -> None:
        """From now on. Raises OSError where the kernel's log cannot be read."""
        descriptor = os.open(self._kmsg, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        try:
            with contextlib.suppress(OSError):  # what is no device has no past
                os.lseek(descriptor, 0, os.SEEK_END)
            loop.add_reader(descriptor, readable.set)
            while True:
                await readable.wait()
                readable.clear()
                for record in _records(descriptor):
                    self._tell(record)
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def _tell(self, record: str) -> None:
        kill = kill_of(record)
        if kill is not None and kill.bound in self._bounds:
            message = f"System OOM encountered, victim process: {kill.name}, pid: {kill.pid}"
            log.warning("%s", message)
            self._events.node_event(WARNING, "SystemOOM", message)


def _records(descriptor: int) -> Iterator[str]:
    """Those that are there now. Raises OSError."""
    while True:
        try:
            record = os.read(descriptor, _RECORD_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EPIPE:  # records were overwritten before they were read: go on with the oldest
                continue
            raise
        if not record:
            return
        yield record.decode(errors="replace")
