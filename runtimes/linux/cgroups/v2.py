"""cgroup v2: one hierarchy for all controllers, driven through subclasses of cgroupspy's controller."""

import contextlib
import errno
import functools
import signal
from dataclasses import replace
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
    present,
)
from runtimes.linux.cgroups.huge_pages import kernel_sizes
from runtimes.linux.cgroups.summary import summary
from runtimes.linux.cgroups.tree import (
    adopt,
    join,
    kernel_errors,
    own_cgroups,
    processes,
    remove_tree,
    signal_all,
    subdirectories,
)
from runtimes.linux.cgroups.units import DEFAULT_PERIOD_US, cpu_weight, weight_to_shares
from runtimes.linux.cgroups.v2_statistics import StatisticsV2

# Controllers of pods. Those that a kernel does not have are done without; io only serves statistics and QoS of runtimes.
_WANTED = ("cpu", "cpuset", "memory", "hugetlb", "pids", "io")
_REQUIRED = ("cpu", "cpuset", "memory", "hugetlb", "pids")


class CgroupsV2:
    version = 2

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(CoreV2(Directory(self._root)).controllers)

    @functools.cached_property  # each row of a page of statistics asks, and each container's start
    def huge_page_sizes(self) -> tuple[str, ...]:
        # the root has no hugetlb files: any child that has the controller shows them
        for name in subdirectories(self._root):
            sizes = HugetlbController(Directory(f"{self._root}/{name}")).sizes()
            if sizes:
                return sizes
        return kernel_sizes() if "hugetlb" in self.controllers else ()

    @property
    def limits_swap(self) -> bool:
        # the root has no such file, and below it only cgroups with the controller do
        for name in subdirectories(self._root):
            if Path(self._root, name, "memory.max").exists():
                return Path(self._root, name, "memory.swap.max").exists()
        return "memory" in self.controllers and Path("/proc/swaps").exists()

    @property
    def statistics(self) -> StatisticsV2:
        return StatisticsV2(self._root)

    def directories(self, path: str) -> tuple[Path, ...]:
        return (Path(join(self._root, path)),)

    def exists(self, path: str) -> bool:
        try:
            present = frozenset(CoreV2(Directory(join(self._root, path))).controllers)
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
            node = Directory(join(self._root, path))
            have = frozenset(CoreV2(node).controllers)
            if "cpu" in have:
                _apply_cpu(CpuV2(node), limits)
            if "memory" in have:
                _apply_memory(MemoryV2(node), limits)
            if "pids" in have and limits.pids_limit is not None:
                PidsController(node).max = limits.pids_limit
            if "hugetlb" in have:
                for size, limit_bytes in limits.hugetlb_bytes.items():
                    HugetlbController(node).set_max(size, limit_bytes)
            if "cpuset" in have:
                cpuset = CpusetV2(node)
                if limits.cpuset_cpus is not None:
                    cpuset.cpus = limits.cpuset_cpus
                if limits.cpuset_mems is not None:
                    cpuset.mems = limits.cpuset_mems
            for name, text in limits.unified.items():
                if "/" in name:
                    raise CgroupError(errno.EINVAL, f"{name!r} is no file of a cgroup")
                CoreV2(node).set_property(name.encode(), text)

    def limits(self, path: str) -> CgroupLimits:
        with kernel_errors("read", path):
            node = Directory(join(self._root, path))
            have = frozenset(CoreV2(node).controllers)
            quota_us, period_us, shares = None, None, None
            if "cpu" in have:
                cpu = CpuV2(node)
                quota, period_us = cpu.max
                quota_us, shares = -1 if quota is None else quota, weight_to_shares(cpu.weight)
            found = CgroupLimits(cpu_shares=shares, cpu_quota_us=quota_us, cpu_period_us=period_us)
            return _with_memory(found, MemoryV2(node)) if "memory" in have else found

    def stats(self, path: str) -> CgroupStats:
        return summary(self.statistics, path, oom_kills=self.statistics.oom_kills(path))

    def children(self, path: str) -> tuple[str, ...]:
        return tuple(sorted(subdirectories(join(self._root, path))))

    def processes(self, path: str) -> frozenset[int]:
        return processes(join(self._root, path))

    def adopt(self, path: str, pid: int) -> None:
        if own_cgroups().get("", "/") != "/":
            with kernel_errors("enter", path):
                adopt(Path(join(self._root, path)), pid)

    def kill(self, path: str) -> None:
        with kernel_errors("kill", path):
            try:
                CoreV2(Directory(join(self._root, path))).kill = True
            except FileNotFoundError:  # gone, or a kernel before 5.14
                signal_all(self.processes(path), signal.SIGKILL)

    def remove(self, path: str) -> bool:
        with kernel_errors("remove", path):
            return remove_tree(join(self._root, path))

    def _delegate(self, directory: str) -> None:
        """Switch the controllers on for the children of a cgroup."""
        core = CoreV2(Directory(directory))
        missing = [name for name in _WANTED if name in core.controllers and name not in core.subtree_control.split()]
        if missing:
            core.subtree_control = " ".join(f"+{name}" for name in missing)


def _apply_cpu(cpu: CpuV2, limits: CgroupLimits) -> None:
    if limits.cpu_shares is not None:
        cpu.weight = cpu_weight(limits.cpu_shares)
    if limits.cpu_quota_us is not None:
        period_us = limits.cpu_period_us or DEFAULT_PERIOD_US
        cpu.max = (limits.cpu_quota_us if limits.cpu_quota_us > 0 else None, period_us)


def _apply_memory(memory: MemoryV2, limits: CgroupLimits) -> None:
    if limits.memory_limit_bytes is not None:
        memory.max = limits.memory_limit_bytes
    if limits.memory_reservation_bytes is not None:
        memory.low = limits.memory_reservation_bytes
    both_bytes, limit_bytes = limits.memory_swap_limit_bytes, limits.memory_limit_bytes
    if both_bytes is not None:
        memory.swap_max = None if both_bytes < 0 else max(0, both_bytes - (limit_bytes or memory.max or 0))


def _with_memory(found: CgroupLimits, memory: MemoryV2) -> CgroupLimits:
    limit_bytes = _limit(memory.max)
    swap_bytes = present(lambda: _limit(memory.swap_max))
    both_bytes = None if swap_bytes is None else -1 if -1 in (limit_bytes, swap_bytes) else limit_bytes + swap_bytes
    return replace(
        found,
        memory_limit_bytes=limit_bytes,
        memory_swap_limit_bytes=both_bytes,
        memory_reservation_bytes=present(lambda: _limit(memory.low)),
    )


def _limit(value_bytes: int | None) -> int:
    return -1 if value_bytes is None else value_bytes
