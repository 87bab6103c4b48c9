"""Whom the kernel killed, by its log."""

import asyncio
import fcntl
import os
import struct
import termios
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from nodeagent.api.events import Events, NodeEvents
from nodeagent.eviction.oom_watch import Kill, OOMWatch, kill_of

GLOBAL = (
    "6,1234,567890,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
    "task_memcg=/kubepods/pod1/c,task=stress,pid=4242,uid=0\n SUBSYSTEM=x\n"
)
BOUND = (
    "6,1235,567891,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c,mems_allowed=0,oom_memcg=/a/b,"
    "task_memcg=/a/b/kubepods/pod1,task=a b,pid=7,uid=1000\n"
)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (GLOBAL, Kill(name="stress", pid=4242)),
        (BOUND, Kill(name="a b", pid=7, bound="/a/b")),
        (BOUND.replace("a b", "x,pid=9,uid=1"), Kill(name="x,pid=9,uid=1", pid=7, bound="/a/b")),
        (GLOBAL.replace("6,", "12,", 1), None),
        ("6,1,1,-;Out of memory: Killed process 1 (x)", None),
        ("6,1,1,-; oom-kill:", None),
        ("", None),
        (";", None),
    ],
)
def test_records(record: str, expected: Kill | None) -> None:
    """The victim and the cgroup whose limit was reached; what a process wrote into the log is not believed."""
    assert kill_of(record) == expected


class Told(Events):
    """(reason, message) of each event."""

    def __init__(self) -> None:
        self.queue = asyncio.Queue[tuple[str, str, str]]()

    @override
    def event(self, ref: Any, type: str, reason: str, message: str, **more: Any) -> None:
        self.queue.put_nowait((type, reason, message))


def unread(descriptor: int) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))
    return int(count)


async def test_the_nodes_own_kills_are_told(tmp_path: Path) -> None:
    """Those for want of all memory, or of what bounds the pods; others are their containers' matter."""
    told = Told()
    kmsg = tmp_path / "kmsg"
    os.mkfifo(kmsg)
    watching = asyncio.create_task(OOMWatch(NodeEvents(told, "n"), ("/a/b", "/a"), kmsg=kmsg).run())
    await asyncio.sleep(0)
    others = BOUND.replace("oom_memcg=/a/b", "oom_memcg=/a/b/kubepods/pod1")
    async with asyncio.timeout(30):
        with kmsg.open("wb", buffering=0) as writer:
            for record in (others, BOUND, GLOBAL):
                writer.write(record.encode())
                while unread(writer.fileno()):  # noqa: ASYNC110  # one read is one record, as of the kernel's log
                    await asyncio.sleep(0)
            found = [await told.queue.get(), await told.queue.get()]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert found == [
        ("Warning", "SystemOOM", "System OOM encountered, victim process: a b, pid: 7"),
        ("Warning", "SystemOOM", "System OOM encountered, victim process: stress, pid: 4242"),
    ]
