"""cgroup v1: one hierarchy per controller, driven through cgroupspy's controllers."""

import contextlib
import errno
import functools
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from cgroupspy.controllers import Controller, CpuSetController

from runtimes.linux.cgroups.contract import CgroupLimits, CgroupStats
from runtimes.linux.cgroups.controllers import (
    UNLIMITED_BYTES,
    CpuController,
    Directory,
    FreezerController,
    HugetlbController,
    MemoryController,
    PidsController,
    present,
)
from runtimes.linux.cgroups.huge_pages import kernel_sizes
from runtimes.linux.cgroups.summary import summary
from runtimes.linux.cgroups.tree import (
    adopt,
    join,
    kernel_errors,
    names_in,
    own_cgroups,
    processes,
    remove_tree,
    signal_all,
    subdirectories,
    walk,
)
from runtimes.linux.cgroups.v1_statistics import StatisticsV1

_C = TypeVar("_C", bound=Controller)

# What a pod's cgroup must have to count as existing; hugetlb where the kernel has it.
_REQUIRED = ("cpu", "cpuacct", "cpuset", "memory", "name=systemd", "pids", "hugetlb")


class CgroupsV1:
    """`mounts`: controller -> mount point, as the mount table has it. Controllers may share a mount point.

    `unified`: the v2 hierarchy of a hybrid host. Nothing is made there, but runtimes do (containerd's runc), and what they
    leave of a pod is listed and removed with the rest.
    """

    version = 1

    def __init__(self, mounts: Mapping[str, Path], unified: Path | None = None) -> None:
        self._mounts = {name: str(point) for name, point in mounts.items()}
        # one directory per hierarchy, however many controllers share it
        self._hierarchies = tuple(dict.fromkeys(self._mounts.values()))
        self._unified = None if unified is None else str(unified)
        self._everywhere = self._hierarchies if self._unified is None else (*self._hierarchies, self._unified)

    @property
    def statistics(self) -> StatisticsV1:
        return StatisticsV1(self._mounts)

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(name for name in self._mounts if not name.startswith("name="))

    @functools.cached_property
    def huge_page_sizes(self) -> tuple[str, ...]:
        if "hugetlb" not in self._mounts:
            return ()
        # the root of the hierarchy has no limits; usage files name the sizes too
        names = (name.split(".") for name in names_in(self._mounts["hugetlb"]))
        return (
            tuple(sorted({parts[1] for parts in names if parts[0] == "hugetlb" and len(parts) == 3})) or kernel_sizes()
        )

    @property
    def limits_swap(self) -> bool:
        return "memory" in self._mounts and Path(self._mounts["memory"], "memory.memsw.limit_in_bytes").exists()

    def directories(self, path: str) -> tuple[Path, ...]:
        return tuple(Path(join(point, path)) for point in self._everywhere)

    def exists(self, path: str) -> bool:
        wanted = {self._mounts[name] for name in _REQUIRED if name in self._mounts}
        return all(Path(join(point, path)).is_dir() for point in wanted)

    def create(self, path: str) -> None:
        with kernel_errors("create", path):
            for point in self._hierarchies:
                self._make(point, path)

    def apply(self, path: str, limits: CgroupLimits) -> None:
        with kernel_errors("limit", path):
            self._apply_cpu(path, limits)
            self._apply_memory(path, limits)
            if limits.pids_limit is not None and (pids := self._open(PidsController, "pids", path)):
                pids.max = limits.pids_limit
            if limits.hugetlb_bytes and (hugetlb := self._open(HugetlbController, "hugetlb", path)):
                for size, limit_bytes in limits.hugetlb_bytes.items():
                    hugetlb.set_limit(size, limit_bytes)
            if cpuset := self._open(CpuSetController, "cpuset", path):
                if limits.cpuset_cpus is not None:
                    cpuset.set_property(b"cpuset.cpus", limits.cpuset_cpus)
                if limits.cpuset_mems is not None:
                    cpuset.set_property(b"cpuset.mems", limits.cpuset_mems)

    def limits(self, path: str) -> CgroupLimits:
        cpu = self._open(CpuController, "cpu", path)
        memory = self._open(MemoryController, "memory", path)
        found = CgroupLimits()
        with kernel_errors("read", path):
            if cpu is not None:
                quota_us = cpu.cfs_quota_us
                found = replace(
                    found,
                    cpu_shares=cpu.shares,
                    cpu_quota_us=-1 if quota_us is None else quota_us,
                    cpu_period_us=cpu.cfs_period_us,
                )
            if memory is not None:
                found = replace(
                    found,
                    memory_limit_bytes=_limit(memory.limit_in_bytes),
                    memory_reservation_bytes=_limit(memory.soft_limit_in_bytes),
                    memory_swap_limit_bytes=_limit(present(lambda: memory.memsw_limit_in_bytes)),
                )
        return found

    def stats(self, path: str) -> CgroupStats:
        # memory.oom_control counts one cgroup only, not those below it
        point = self._mounts.get("memory")
        below = [] if point is None else walk(join(point, path))
        kills = sum(self.statistics.oom_kills(directory.removeprefix(point or "")) for directory in below)
        return summary(self.statistics, path, oom_kills=kills)

    def children(self, path: str) -> tuple[str, ...]:
        return tuple(sorted({name for point in self._everywhere for name in subdirectories(join(point, path))}))

    def processes(self, path: str) -> frozenset[int]:
        """Of the first hierarchy that has any: a process is in all of them, unless somebody moved it in one alone."""
        return next((found for found in self._processes(path) if found), frozenset())

    def _processes(self, path: str) -> Iterator[frozenset[int]]:
        return (processes(join(point, path)) for point in self._hierarchies)

    def adopt(self, path: str, pid: int) -> None:
        own = own_cgroups()
        with kernel_errors("enter", path):
            for controller, point in self._mounts.items():
                # an own cpuset needs its CPUs copied first, and where a monitor runs matters to nobody
                if own.get(controller, "/") != "/" and controller != "cpuset":
                    adopt(Path(join(point, path)), pid)
            if self._unified is not None and own.get("", "/") != "/":
                adopt(Path(join(self._unified, path)), pid)

    def kill(self, path: str) -> None:
        # frozen first, so that nothing forks away between reading the list and killing what is on it
        freezer = self._open(FreezerController, "freezer", path)
        with contextlib.suppress(OSError):
            if freezer:
                freezer.state = "FROZEN"
        try:
            signal_all(frozenset().union(*self._processes(path)), signal.SIGKILL)
        finally:
            with contextlib.suppress(OSError):
                if freezer:
                    freezer.state = "THAWED"

    def remove(self, path: str) -> bool:
        with kernel_errors("remove", path):
            removed = [remove_tree(join(point, path)) for point in self._everywhere]  # each, whatever the others say
            return all(removed)

    def _open(self, kind: Callable[[Directory], _C], controller: str, path: str) -> _C | None:
        """The controller's files of a cgroup; None where the machine does not have the controller."""
        point = self._mounts.get(controller)
        return kind(Directory(join(point, path))) if point is not None else None

    def _make(self, point: str, path: str) -> None:
        has_cpuset = self._mounts.get("cpuset") == point
        current = point
        for name in path.strip("/").split("/"):
            parent, current = current, f"{current}/{name}"
            with contextlib.suppress(FileExistsError):
                Path(current).mkdir(0o755)
            if has_cpuset:
                _inherit_cpuset(parent, current)

    def _apply_cpu(self, path: str, limits: CgroupLimits) -> None:
        cpu = self._open(CpuController, "cpu", path)
        if cpu is None:
            return
        if limits.cpu_shares is not None:
            cpu.shares = limits.cpu_shares
        if limits.cpu_period_us:
            try:
                cpu.cfs_period_us = limits.cpu_period_us
            except OSError as error:
                # with the old quota the new period may ask for more than the parent has: quota first, then
                if error.errno != errno.EINVAL or limits.cpu_quota_us is None:
                    raise
                cpu.cfs_quota_us = limits.cpu_quota_us
                cpu.cfs_period_us = limits.cpu_period_us
        if limits.cpu_quota_us is not None:
            cpu.cfs_quota_us = limits.cpu_quota_us or -1

    def _apply_memory(self, path: str, limits: CgroupLimits) -> None:
        memory = self._open(MemoryController, "memory", path)
        if memory is None:
            return
        both_bytes = limits.memory_swap_limit_bytes
        # memory with swap may never be less than memory alone: a sum that grows goes ahead of it
        ahead = both_bytes is not None and (both_bytes < 0 or both_bytes > (memory.memsw_limit_in_bytes or 0))
        if both_bytes is not None and ahead:
            memory.memsw_limit_in_bytes = both_bytes
        if limits.memory_limit_bytes is not None:
            memory.limit_in_bytes = limits.memory_limit_bytes
        if both_bytes is not None and not ahead:
            memory.memsw_limit_in_bytes = both_bytes
        if limits.memory_reservation_bytes is not None:
            memory.soft_limit_in_bytes = limits.memory_reservation_bytes


def _limit(value_bytes: int | None) -> int | None:
    return -1 if value_bytes is not None and value_bytes >= UNLIMITED_BYTES else value_bytes


def _inherit_cpuset(parent: str, child: str) -> None:
    """A new cpuset is empty and holds no process until it gets CPUs and memory nodes: give it its parent's."""
    above, below = CpuSetController(Directory(parent)), CpuSetController(Directory(child))
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not below.get_property(name.encode()):
            below.set_property(name.encode(), above.get_property(name.encode()))
