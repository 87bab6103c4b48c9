"""cgroup v2: one hierarchy for all controllers, driven through subclasses of cgroupspy's controller."""

import contextlib
from pathlib import Path

from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits, CgroupStats
from runtimes.linux.cgroups.controllers import (
    CoreV2,
    CpusetV2,
    CpuV2,
    Directory,
    HugetlbController,
    MemoryV2,
    PidsController,
    read_or,
)
from runtimes.linux.cgroups.tree import kernel_errors, remove_tree, subdirectories
from runtimes.linux.cgroups.units import cpu_weight, weight_to_shares

# Controllers of pods. Those that a kernel does not have are done without; io only serves statistics and QoS of runtimes.
_WANTED = ("cpu", "cpuset", "memory", "hugetlb", "pids", "io")
_REQUIRED = ("cpu", "cpuset", "memory", "hugetlb", "pids")
_DEFAULT_PERIOD_US = 100_000


class CgroupsV2:
    version = 2

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(CoreV2(Directory(self._root)).controllers)

    @property
    def huge_page_sizes(self) -> tuple[str, ...]:
        # the root has no hugetlb files: any child that has the controller shows them
        for name in subdirectories(self._root):
            sizes = HugetlbController(Directory(f"{self._root}/{name}")).sizes()
            if sizes:
                return sizes
        return ()

    def exists(self, path: str) -> bool:
        try:
            present = frozenset(CoreV2(Directory(self._root + path)).controllers)
        except FileNotFoundError:
            return False
        return present >= self.controllers & frozenset(_REQUIRED)

    def create(self, path: str) -> None:
        with kernel_errors("create", path):
            current = self._root
            for name in path.strip("/").split("/"):
                self._delegate(current)
                current = f"{current}/{name}"
                with contextlib.suppress(FileExistsError):
                    Path(current).mkdir(0o755)

    def apply(self, path: str, limits: CgroupLimits) -> None:
        with kernel_errors("limit", path):
            node = Directory(self._root + path)
            present = frozenset(CoreV2(node).controllers)
            if "cpu" in present:
                _apply_cpu(CpuV2(node), limits)
            if "memory" in present and limits.memory_limit_bytes is not None:
                MemoryV2(node).max = limits.memory_limit_bytes
            if "pids" in present and limits.pids_limit is not None:
                PidsController(node).max = limits.pids_limit
            if "hugetlb" in present:
                for size, limit_bytes in limits.hugetlb_bytes.items():
                    HugetlbController(node).set_max(size, limit_bytes)
            if "cpuset" in present:
                cpuset = CpusetV2(node)
                if limits.cpuset_cpus is not None:
                    cpuset.cpus = limits.cpuset_cpus
                if limits.cpuset_mems is not None:
                    cpuset.mems = limits.cpuset_mems
            for name, text in limits.unified.items():
                CoreV2(node).set_property(name.encode(), text)

    def limits(self, path: str) -> CgroupLimits:
        with kernel_errors("read", path):
            node = Directory(self._root + path)
            present = frozenset(CoreV2(node).controllers)
            quota_us, period_us, shares = None, None, None
            if "cpu" in present:
                cpu = CpuV2(node)
                quota, period_us = cpu.max
                quota_us, shares = -1 if quota is None else quota, weight_to_shares(cpu.weight)
            limit_bytes: int | None = None
            if "memory" in present:
                limit = MemoryV2(node).max
                limit_bytes = -1 if limit is None else limit
            return CgroupLimits(
                cpu_shares=shares, cpu_quota_us=quota_us, cpu_period_us=period_us, memory_limit_bytes=limit_bytes
            )

    def stats(self, path: str) -> CgroupStats:
        with kernel_errors("read", path):
            node = Directory(self._root + path)
            memory, pids = MemoryV2(node), PidsController(node)
            counters: dict[str, int] = read_or(memory, "stat", {})
            usage_bytes: int = read_or(memory, "current", 0)
            return CgroupStats(
                cpu_usage_ns=1000 * CpuV2(node).stat["usage_usec"],
                memory_usage_bytes=usage_bytes,
                memory_working_set_bytes=max(0, usage_bytes - counters.get("inactive_file", 0)),
                memory_rss_bytes=counters.get("anon", 0),
                memory_limit_bytes=read_or(memory, "max", None),
                page_faults=counters.get("pgfault", 0),
                major_page_faults=counters.get("pgmajfault", 0),
                pids=read_or(pids, "current", 0),
                pids_limit=read_or(pids, "max", None),
                oom_kills=read_or(memory, "events", {}).get("oom_kill", 0),
            )

    def children(self, path: str) -> tuple[str, ...]:
        return tuple(sorted(subdirectories(self._root + path)))

    def processes(self, path: str) -> frozenset[int]:
        directory = self._root + path
        try:
            own: list[int] = CoreV2(Directory(directory)).procs
        except FileNotFoundError:
            return frozenset()
        except OSError as error:  # a threaded cgroup does not list its processes
            raise CgroupError(error.errno, error.strerror, directory) from error
        below = (self.processes(f"{path}/{name}") for name in subdirectories(directory))
        return frozenset(pid for pid in own if pid).union(*below)

    def kill(self, path: str) -> None:
        with kernel_errors("kill", path), contextlib.suppress(FileNotFoundError):
            CoreV2(Directory(self._root + path)).kill = True

    def remove(self, path: str) -> bool:
        with kernel_errors("remove", path):
            return remove_tree(self._root + path)

    def _delegate(self, directory: str) -> None:
        """Switch the controllers on for the children of a cgroup."""
        core = CoreV2(Directory(directory))
        missing = [
            name for name in _WANTED if name in core.controllers and name not in str(core.subtree_control).split()
        ]
        if missing:
            core.subtree_control = " ".join(f"+{name}" for name in missing)


def _apply_cpu(cpu: CpuV2, limits: CgroupLimits) -> None:
    if limits.cpu_shares is not None:
        cpu.weight = cpu_weight(limits.cpu_shares)
    if limits.cpu_quota_us is not None:
        period_us = limits.cpu_period_us or _DEFAULT_PERIOD_US
        cpu.max = (limits.cpu_quota_us if limits.cpu_quota_us > 0 else None, period_us)
