"""What eviction reads of cgroups and is woken by, on this machine's kernel; the same file runs under pure cgroup v2."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.config.eviction import Signal
from nodeagent.eviction.signals import MemoryAndPids
from nodeagent.eviction.wakeups import KernelWakeups
from runtimes.linux.cgroups.cleanup import kill_all, remove_when_empty
from runtimes.linux.cgroups.contract import CgroupLimits, Cgroups

pytestmark = pytest.mark.node

MIB = 1 << 20
LIMIT, TASKS = 32 * MIB, 40
EAT = f"import sys; sys.stdin.readline(); bytearray({2 * LIMIT})"


@pytest.fixture
def bound(cgroups: Cgroups) -> Iterator[str]:
    """A cgroup with limits, gone afterwards."""
    path = f"/natest-short-{uuid.uuid4().hex[:8]}"
    cgroups.create(path)
    swap = {"memory_swap_limit_bytes": LIMIT} if cgroups.limits_swap else {}
    cgroups.apply(path, CgroupLimits(memory_limit_bytes=LIMIT, pids_limit=TASKS, **swap))
    yield path
    kill_all(cgroups, path)
    remove_when_empty(cgroups, path)
    assert not any(directory.exists() for directory in cgroups.directories(path))


@pytest.fixture
def eater(cgroups: Cgroups, bound: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process in that cgroup, which takes more than the limit when it is told to."""
    child = subprocess.Popen([sys.executable, "-c", EAT], stdin=subprocess.PIPE)
    for directory in cgroups.directories(bound):
        if directory.exists():
            Path(directory, "cgroup.procs").write_text(str(child.pid))
    yield child
    child.kill()
    child.communicate()


def test_signals(cgroups: Cgroups, bound: str) -> None:
    """What bounds the pods is what the node has; without a bound, the machine's memory and tasks."""
    inner = f"{bound}/pods"
    cgroups.create(inner)
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    bounded = MemoryAndPids(cgroups, root=inner, pods=inner, memory_bytes=memory, max_pids=1 << 22).read()
    assert (bounded[Signal.MEMORY].capacity, bounded[Signal.PIDS].capacity) == (LIMIT, TASKS)
    assert Signal.ALLOCATABLE_MEMORY not in bounded or bounded[Signal.ALLOCATABLE_MEMORY].capacity > LIMIT
    whole = MemoryAndPids(cgroups, root="/", pods=bound, memory_bytes=memory, max_pids=1 << 22).read()
    assert whole[Signal.ALLOCATABLE_MEMORY].capacity == LIMIT
    assert (whole[Signal.MEMORY].capacity, whole[Signal.PIDS].capacity) == (memory, 1 << 22)
    assert 0 < whole[Signal.MEMORY].available < memory and 0 < whole[Signal.PIDS].available < 1 << 22


async def test_the_kernel_wakes(cgroups: Cgroups, bound: str, eater: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    """By a mark on the usage (v1), or by events of the limit (v2), without PSI; nothing wakes before something is used."""
    wakeups = KernelWakeups(cgroups, (bound,), headroom=lambda: 8 * MIB, pressure=tmp_path / "none")
    wakeups.start()
    try:
        await wakeups.wait(0.0)  # sets the marks
        assert not wakeups._happened.is_set()
        assert eater.stdin is not None
        eater.stdin.write(b"go\n")
        eater.stdin.flush()
        async with asyncio.timeout(60):
            await wakeups.wait(3600.0)
    finally:
        wakeups.close()
