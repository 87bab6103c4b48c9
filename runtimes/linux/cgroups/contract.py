"""The cgroup contract: few verbs on paths below one hierarchy root, the same on cgroup v1 and v2.

A path is absolute within the hierarchy (`/kubepods/burstable/pod1234`); on v1 it stands for that directory under every
controller. All verbs block for microseconds (removal: milliseconds); call them off the event loop. They may run
concurrently on different paths. What they make survives the agent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

LIMITING = ("cpu", "memory", "pids")
"""Controllers without which the limits of pods cannot be held."""


class CgroupError(OSError):
    """A cgroup could not be made, limited or removed. The text names the file and the kernel's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupLimits:
    """What to write; None (or no entry): leave as it is.

    `cpu_shares` in the unit of cgroup v1 (1024 is one CPU); v2 gets the weight of it. `cpu_quota_us` -1: no quota.
    `memory_limit_bytes`, `memory_swap_limit_bytes` (memory and swap together), `pids_limit` -1: no limit.
    `memory_reservation_bytes`: what reclaim leaves alone, -1: all of it (v2) or none is kept (v1).
    `hugetlb_bytes`: page size as in file names (`2MB`) -> bytes. `unified`: further files of cgroup v2 by name, ignored on v1.
    """

    cpu_shares: int | None = None
    cpu_quota_us: int | None = None
    cpu_period_us: int | None = None
    memory_limit_bytes: int | None = None
    memory_swap_limit_bytes: int | None = None
    memory_reservation_bytes: int | None = None
    pids_limit: int | None = None
    hugetlb_bytes: Mapping[str, int] = field(default_factory=dict)
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    unified: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupStats:
    """What a cgroup and all below it use now, in short. `memory_limit_bytes`, `pids_limit` None: no limit.

    `memory_working_set_bytes`: usage without inactive file pages. `oom_kills`: processes killed since it exists.
    """

    cpu_usage_ns: int
    memory_usage_bytes: int
    memory_working_set_bytes: int
    memory_rss_bytes: int
    memory_limit_bytes: int | None
    page_faults: int
    major_page_faults: int
    pids: int
    pids_limit: int | None
    oom_kills: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """How long processes waited for a resource: percent of the last seconds, and all of it since the cgroup exists."""

    average_10s: float
    average_60s: float
    average_300s: float
    total_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """`some`: at least one process waited; `full`: all of them did."""

    some: Stall | None
    full: Stall | None


# Statistics of one resource each. None: this kernel does not count it, or the cgroup is gone.


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuStats:
    """`periods`, `throttled_*`, `burst_*`: of a cgroup with a quota."""

    usage_ns: int | None = None
    user_ns: int | None = None
    system_ns: int | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_ns: int | None = None
    burst_periods: int | None = None
    burst_ns: int | None = None
    pressure: Pressure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStats:
    """With all that is below, but for `own_*`, which v1 counts as well. `limit_bytes`, `swap_limit_bytes` None: no limit too.

    `working_set_bytes`: usage without inactive file pages. `limit_hits`: how often usage ran into the limit.
    """

    usage_bytes: int | None = None
    working_set_bytes: int | None = None
    peak_bytes: int | None = None
    limit_bytes: int | None = None
    limit_hits: int | None = None
    rss_bytes: int | None = None
    cache_bytes: int | None = None
    mapped_file_bytes: int | None = None
    active_file_bytes: int | None = None
    inactive_file_bytes: int | None = None
    kernel_bytes: int | None = None
    swap_bytes: int | None = None
    swap_limit_bytes: int | None = None
    page_faults: int | None = None
    major_page_faults: int | None = None
    own_page_faults: int | None = None
    own_major_page_faults: int | None = None
    pressure: Pressure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStats:
    """What went to and from one block device. None: not counted for this one."""

    read_bytes: int | None = None
    written_bytes: int | None = None
    reads: int | None = None
    writes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IOStats:
    """`devices`: by number, such as `8:0`; the kernel names a device from its first use on."""

    devices: Mapping[str, DeviceStats] | None = None
    pressure: Pressure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PidsStats:
    """Threads, in fact. `limit` -1: none."""

    current: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HugePageStats:
    usage_bytes: int | None = None
    peak_bytes: int | None = None


class CgroupStatistics(Protocol):
    """What a cgroup and all below it use now, from the files that its hierarchy has for it.

    Sources: the kernel's admin-guide/cgroup-v1 and admin-guide/cgroup-v2. No verb raises: what is not counted, or is gone, is
    None. `details` False: what has a file of its own and few ask for is not read, so None: opening a file is most of the work.
    """

    def cpu(self, path: str, *, details: bool = True) -> CpuStats:
        """CPU time in nanoseconds, and how often the quota held it back (cpuacct.*, cpu.stat; cpu.pressure).

        Details, on v1: all but the usage.
        """
        ...

    def memory(self, path: str, *, details: bool = True) -> MemoryStats:
        """Memory in bytes, swap included (memory.usage_in_bytes and memory.stat; memory.current, memory.stat).

        Details: the peak, how often the limit was hit, and on v1 the kernel's own.
        """
        ...

    def io(self, path: str) -> IOStats:
        """Bytes and operations by block device (blkio.throttle.*; io.stat)."""
        ...

    def pids(self, path: str, *, details: bool = True) -> PidsStats:
        """Threads now, and how many there may be (pids.current, pids.max), which is a detail."""
        ...

    def huge_pages(self, path: str, size: str) -> HugePageStats:
        """Huge pages of one `size`, as in file names (`2MB`), in bytes (hugetlb.<size>.*)."""
        ...

    def oom_kills(self, path: str) -> int:
        """How many processes the kernel killed for want of memory: of the cgroup alone (v1), with those below it (v2).

        0 where there is no such cgroup (memory.oom_control, memory.events).
        """
        ...


class Cgroups(Protocol):
    """One machine's cgroups. `path`: of a cgroup within the hierarchy, `/kubepods/pod1`; `/` is the hierarchy's root."""

    @property
    def version(self) -> int:
        """1 (also hybrid) or 2."""
        ...

    @property
    def controllers(self) -> frozenset[str]:
        """Names of what can be limited here: cpu, cpuset, memory, pids, hugetlb, io, …"""
        ...

    @property
    def huge_page_sizes(self) -> tuple[str, ...]:
        """Of the hugetlb controller, as in file names: 2MB, 1GB; empty without it."""
        ...

    @property
    def limits_swap(self) -> bool:
        """Whether the use of swap can be limited: the kernel counts it."""
        ...

    @property
    def statistics(self) -> CgroupStatistics:
        """What cgroups use, resource by resource."""
        ...

    def directories(self, path: str) -> tuple[Path, ...]:
        """Where it is, in every hierarchy once, whether or not it exists. Raises nothing."""
        ...

    def exists(self, path: str) -> bool:
        """Whether it is there completely, under every controller that pods need. Raises OSError where that cannot be read."""
        ...

    def create(self, path: str) -> None:
        """Make it and its ancestors, ready to hold processes. There already, or half of it, is fine. Raises CgroupError."""
        ...

    def apply(self, path: str, limits: CgroupLimits) -> None:
        """Write limits, in the order in which the kernel takes them. What this kernel has no controller for is left out.

        Raises CgroupError: no such cgroup, a value that the kernel refuses, a name in `unified` that is no file of a cgroup.
        What was written before stays.
        """
        ...

    def limits(self, path: str) -> CgroupLimits:
        """CPU and memory limits as they are in force: -1 where there is no quota or limit, None where no controller.

        Raises CgroupError when it is not there.
        """
        ...

    def stats(self, path: str) -> CgroupStats:
        """What most ask for, at once. Raises CgroupError when it is not there."""
        ...

    def children(self, path: str) -> tuple[str, ...]:
        """Names directly below, in any controller, sorted; empty where there is no such cgroup. Raises OSError."""
        ...

    def processes(self, path: str) -> frozenset[int]:
        """PIDs in it and below it; empty where there is no such cgroup. Raises CgroupError."""
        ...

    def adopt(self, path: str, pid: int) -> None:
        """Move a process into it, made where need be, in the hierarchies in which this process is not in the root.

        Raises CgroupError, also for a process that is gone.
        """
        ...

    def kill(self, path: str) -> None:
        """SIGKILL every process in it and below it; none, or no such cgroup, is fine. Returns before they are gone.

        Raises CgroupError.
        """
        ...

    def remove(self, path: str) -> bool:
        """Remove it and all below it, from the leaves up; no such cgroup is fine. False: something still runs in it, try again.

        Raises CgroupError for any other refusal of the kernel.
        """
        ...
