"""The cgroup contract: few verbs on paths below one hierarchy root, the same on cgroup v1 and v2.

A path is absolute within the hierarchy (`/kubepods/burstable/pod1234`); on v1 it stands for that directory under every
controller. All verbs block for microseconds (removal: milliseconds); call them off the event loop. They may run
concurrently on different paths. What they make survives the agent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class CgroupError(OSError):
    """A cgroup could not be made, limited or removed. The text names the file and the kernel's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupLimits:
    """What to write; None (or no entry): leave as it is.

    `cpu_shares` in the unit of cgroup v1 (1024 is one CPU); v2 gets the weight of it. `cpu_quota_us` -1: no quota.
    `memory_limit_bytes`, `pids_limit` -1: no limit. `hugetlb_bytes`: page size as in file names (`2MB`) -> bytes.
    `unified`: further files of cgroup v2 by name, ignored on v1.
    """

    cpu_shares: int | None = None
    cpu_quota_us: int | None = None
    cpu_period_us: int | None = None
    memory_limit_bytes: int | None = None
    pids_limit: int | None = None
    hugetlb_bytes: Mapping[str, int] = field(default_factory=dict)
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    unified: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupStats:
    """What a cgroup and all below it use now. `memory_limit_bytes`, `pids_limit` None: no limit.

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


class Cgroups(Protocol):
    """One machine's cgroups. Errors are CgroupError."""

    @property
    def version(self) -> int: ...

    @property
    def controllers(self) -> frozenset[str]:
        """Names of what can be limited here: cpu, cpuset, memory, pids, hugetlb, io, …"""
        ...

    @property
    def huge_page_sizes(self) -> tuple[str, ...]:
        """Of the hugetlb controller, as in file names: 2MB, 1GB; empty without it."""
        ...

    def exists(self, path: str) -> bool:
        """Whether it is there completely, under every controller that pods need."""
        ...

    def create(self, path: str) -> None:
        """Make it and its ancestors, ready to hold processes. There already, or half of it, is fine."""
        ...

    def apply(self, path: str, limits: CgroupLimits) -> None:
        """Write limits. What this kernel has no controller for is left out."""
        ...

    def limits(self, path: str) -> CgroupLimits:
        """CPU and memory limits as they are in force: -1 where there is no quota or limit, None where no controller."""
        ...

    def stats(self, path: str) -> CgroupStats: ...

    def children(self, path: str) -> tuple[str, ...]:
        """Names directly below, in any controller, sorted. None there: empty."""
        ...

    def processes(self, path: str) -> frozenset[int]:
        """PIDs in it and below it."""
        ...

    def kill(self, path: str) -> None:
        """SIGKILL every process in it and below it. Returns before they are gone."""
        ...

    def remove(self, path: str) -> bool:
        """Remove it and all below it, from the leaves up. False: something still runs in it, try again."""
        ...
