"""What every implementation of the cgroup contract promises, on the kernel's own files."""

import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from runtimes.linux.cgroups.cleanup import kill_all, missing, remove_when_empty
from runtimes.linux.cgroups.contract import (
    CgroupError,
    CgroupLimits,
    Cgroups,
    CpuStats,
    HugePageStats,
    IOStats,
    MemoryStats,
    PidsStats,
)

pytestmark = pytest.mark.node

MIB = 1 << 20
SLEEP = "print('begun', flush=True); import time; time.sleep(600)"
TAKE = "data = bytearray(16 << 20); data[::4096] = b'x' * len(data[::4096])"
EAT = TAKE.replace("16", "64")
LIMITS = CgroupLimits(
    cpu_shares=1024, cpu_quota_us=50_000, cpu_period_us=100_000, memory_limit_bytes=64 * MIB, pids_limit=50
)
Launch = Callable[[str, str], "subprocess.Popen[bytes]"]


def begun(child: "subprocess.Popen[bytes]") -> "subprocess.Popen[bytes]":
    assert child.stdout is not None
    assert child.stdout.readline() == b"begun\n"
    return child


def removed(cgroups: Cgroups, path: str) -> bool:
    """The kernel needs a moment after the last exit."""
    deadline = time.monotonic() + 60
    while not cgroups.remove(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_made_and_removed(cgroups: Cgroups, root: str) -> None:
    """With its ancestors, in every hierarchy, again and again; it goes with all below it, and once more is fine."""
    for _ in range(2):
        cgroups.create(f"{root}/a/b")
    assert (cgroups.exists(f"{root}/a"), cgroups.exists(f"{root}/a/b"), cgroups.exists(f"{root}/x")) == (
        True,
        True,
        False,
    )
    assert (cgroups.children(root), cgroups.children(f"{root}/x")) == (("a",), ())
    assert cgroups.remove(f"{root}/a")
    assert cgroups.remove(f"{root}/a")
    assert cgroups.children(root) == ()


def test_limits_are_what_was_written(cgroups: Cgroups, root: str) -> None:
    """In the same units; -1 takes a limit back. What is not named stays as it is."""
    cgroups.apply(root, LIMITS)
    found = cgroups.limits(root)
    assert (found.cpu_quota_us, found.cpu_period_us, found.memory_limit_bytes) == (50_000, 100_000, 64 * MIB)
    assert found.cpu_shares is not None
    assert abs(found.cpu_shares - 1024) < 27, "v2's weights are coarser than shares"
    cgroups.apply(root, CgroupLimits(memory_limit_bytes=32 * MIB))
    assert cgroups.limits(root).memory_limit_bytes == 32 * MIB
    assert cgroups.limits(root).cpu_quota_us == 50_000
    cgroups.apply(root, CgroupLimits(cpu_quota_us=-1, cpu_period_us=100_000, memory_limit_bytes=-1, pids_limit=-1))
    found = cgroups.limits(root)
    assert (found.cpu_quota_us, found.memory_limit_bytes) == (-1, -1)
    assert cgroups.statistics.pids(root).limit == -1


def test_memory_and_swap(cgroups: Cgroups, root: str) -> None:
    """A limit for both together grows and shrinks with that for memory alone, in one go."""
    if not cgroups.limits_swap:
        pytest.skip("this kernel does not limit swap")
    for memory_mib, both_mib in ((64, 96), (128, 128), (16, 32)):
        cgroups.apply(root, CgroupLimits(memory_limit_bytes=memory_mib * MIB, memory_swap_limit_bytes=both_mib * MIB))
        found = cgroups.limits(root)
        assert (found.memory_limit_bytes, found.memory_swap_limit_bytes) == (memory_mib * MIB, both_mib * MIB)
    cgroups.apply(root, CgroupLimits(memory_swap_limit_bytes=-1))
    assert cgroups.limits(root).memory_swap_limit_bytes == -1


def test_huge_pages(cgroups: Cgroups, root: str) -> None:
    """Every size that this kernel limits can be limited and is counted."""
    for size in cgroups.huge_page_sizes:
        cgroups.apply(root, CgroupLimits(hugetlb_bytes={size: 0}))
        assert cgroups.statistics.huge_pages(root, size).usage_bytes == 0


def test_processes_are_those_below_too(cgroups: Cgroups, root: str, launch: Launch) -> None:
    """Wherever they are; a cgroup in use is not removed, nor is what is above it."""
    cgroups.create(f"{root}/a/b")
    child = begun(launch(f"{root}/a/b", SLEEP))
    assert cgroups.processes(root) == cgroups.processes(f"{root}/a/b") == {child.pid}
    assert cgroups.processes(f"{root}/x") == frozenset()
    assert not cgroups.remove(f"{root}/a")
    assert cgroups.exists(f"{root}/a/b")


def test_everything_in_it_is_killed(cgroups: Cgroups, root: str, launch: Launch) -> None:
    """Below it too, and nobody else; then it can be removed."""
    names = ("a/b", "a/c", "other")
    for name in names:
        cgroups.create(f"{root}/{name}")
    first, second, other = (begun(launch(f"{root}/{name}", SLEEP)) for name in names)
    cgroups.kill(f"{root}/a")
    assert (first.wait(60), second.wait(60), other.poll()) == (-signal.SIGKILL, -signal.SIGKILL, None)
    assert removed(cgroups, f"{root}/a")
    assert cgroups.children(root) == ("other",)


def test_emptied_at_once(cgroups: Cgroups, root: str, launch: Launch) -> None:
    """Who waits in a thread has it dead and gone; a process that somebody must reap first holds nobody up for good."""
    cgroups.create(f"{root}/a")
    child = begun(launch(f"{root}/a", SLEEP))
    kill_all(cgroups, f"{root}/a")
    assert child.wait(60) == -signal.SIGKILL
    remove_when_empty(cgroups, f"{root}/a")
    assert not cgroups.exists(f"{root}/a")


def test_what_is_used(cgroups: Cgroups, root: str, launch: Launch) -> None:
    """CPU, memory and threads of what runs below; the short form says the same."""
    cgroups.create(f"{root}/a")
    cgroups.apply(root, LIMITS)
    busy = "end = __import__('time').process_time() + 0.05\nwhile __import__('time').process_time() < end: pass\n"
    begun(launch(f"{root}/a", f"exec({busy!r}); {TAKE}; {SLEEP}"))
    cpu, memory, pids = (getattr(cgroups.statistics, name)(root) for name in ("cpu", "memory", "pids"))
    assert cpu.usage_ns >= 50_000_000
    assert cpu.user_ns is not None
    assert cpu.system_ns is not None
    assert 0 < memory.working_set_bytes <= memory.usage_bytes <= memory.limit_bytes == 64 * MIB
    assert memory.rss_bytes > 0
    assert memory.page_faults > 0
    assert pids == PidsStats(current=1, limit=50)
    stats = cgroups.stats(root)
    assert stats.cpu_usage_ns >= cpu.usage_ns
    assert (stats.pids, stats.pids_limit, stats.memory_limit_bytes, stats.oom_kills) == (1, 50, 64 * MIB, 0)


def test_kills_for_want_of_memory_are_counted(cgroups: Cgroups, root: str, launch: Launch) -> None:
    """Where the limit is, or below it: the short form sums up on v1 too."""
    cgroups.create(f"{root}/a")
    limits = CgroupLimits(memory_limit_bytes=16 * MIB)
    if cgroups.limits_swap:
        limits = CgroupLimits(memory_limit_bytes=16 * MIB, memory_swap_limit_bytes=16 * MIB)
    cgroups.apply(f"{root}/a", limits)
    assert launch(f"{root}/a", EAT).wait(60) == -signal.SIGKILL
    assert (cgroups.statistics.oom_kills(f"{root}/a"), cgroups.stats(root).oom_kills) == (1, 1)


def test_of_a_cgroup_that_is_not_there(cgroups: Cgroups, root: str) -> None:
    """Statistics are empty; what cannot be done without it is an error that names it; killing and removing is done already."""
    path = f"{root}/gone"
    found = cgroups.statistics
    assert (found.cpu(path), found.memory(path), found.pids(path)) == (CpuStats(), MemoryStats(), PidsStats())
    assert (found.io(path), found.huge_pages(path, "2MB"), found.oom_kills(path)) == (IOStats(), HugePageStats(), 0)
    for verb in (cgroups.limits, cgroups.stats, lambda path: cgroups.apply(path, LIMITS)):
        with pytest.raises(CgroupError, match=path):
            verb(path)
    cgroups.kill(path)
    assert cgroups.remove(path)


def test_a_limit_that_the_kernel_refuses(cgroups: Cgroups, root: str) -> None:
    """The error names the cgroup, and the cgroup is as good as before."""
    with pytest.raises(CgroupError, match=f"cannot limit cgroup {root}"):
        cgroups.apply(root, CgroupLimits(cpu_quota_us=1, cpu_period_us=1))
    cgroups.apply(root, LIMITS)


def test_what_will_have_been_made(cgroups: Cgroups, root: str) -> None:
    """The directories that are not there yet, parents first; once they are there, or were before, they are nobody's to remove."""
    absent = [directory for directory in missing(cgroups, f"{root}/a/b") if f"{root}/a" in directory]
    assert absent == [str(directory) for name in ("a", "a/b") for directory in cgroups.directories(f"{root}/{name}")]
    cgroups.create(f"{root}/a/b")
    left = missing(cgroups, f"{root}/a/b")
    assert left == [directory for directory in left if "/unified/" in directory], (
        "of a hybrid host: nothing is made there"
    )
