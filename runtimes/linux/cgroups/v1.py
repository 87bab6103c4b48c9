"""cgroup v1: one hierarchy per controller, driven through cgroupspy's controllers."""

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cgroupspy.controllers import (
    CpuAcctController,
    CpuController,
    CpuSetController,
    MemoryController,
)

from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits, CgroupStats
from runtimes.linux.cgroups.controllers import Directory, FreezerController, HugetlbController, PidsController, read_or
from runtimes.linux.cgroups.tree import kernel_errors, names_in, remove_tree, subdirectories

# What a pod's cgroup must have to count as existing; hugetlb where the kernel has it.
_REQUIRED = ("cpu", "cpuacct", "cpuset", "memory", "name=systemd", "pids", "hugetlb")
# A limit at or above this is "unlimited" in pages.
_UNLIMITED_BYTES = 1 << 62


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
        self._everywhere = (*self._hierarchies, str(unified)) if unified is not None else self._hierarchies

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(name for name in self._mounts if not name.startswith("name="))

    @property
    def huge_page_sizes(self) -> tuple[str, ...]:
        if "hugetlb" not in self._mounts:
            return ()
        # the root of the hierarchy has no limits; usage files name the sizes too
        names = (name.split(".") for name in names_in(self._mounts["hugetlb"]))
        return tuple(sorted({parts[1] for parts in names if parts[0] == "hugetlb" and len(parts) == 3})) or tuple(
            sorted(_page_sizes())
        )

    def exists(self, path: str) -> bool:
        wanted = {self._mounts[name] for name in _REQUIRED if name in self._mounts}
        return all(Path(point + path).is_dir() for point in wanted)

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
        with kernel_errors("read", path):
            cpu = self._open(CpuController, "cpu", path)
            memory = self._open(MemoryController, "memory", path)
            limit_bytes: int | None = read_or(memory, "limit_in_bytes", None) if memory else None
            return CgroupLimits(
                cpu_shares=read_or(cpu, "shares", None) if cpu else None,
                cpu_quota_us=read_or(cpu, "cfs_quota_us", None) if cpu else None,
                cpu_period_us=read_or(cpu, "cfs_period_us", None) if cpu else None,
                memory_limit_bytes=-1 if limit_bytes is not None and limit_bytes >= _UNLIMITED_BYTES else limit_bytes,
            )

    def stats(self, path: str) -> CgroupStats:
        with kernel_errors("read", path):
            memory = self._open(MemoryController, "memory", path)
            cpuacct = self._open(CpuAcctController, "cpuacct", path)
            pids = self._open(PidsController, "pids", path)
            counters: dict[str, int] = read_or(memory, "stat", {}) if memory else {}
            usage_bytes: int = read_or(memory, "usage_in_bytes", 0) if memory else 0
            limit_bytes: int | None = read_or(memory, "limit_in_bytes", None) if memory else None
            inactive_bytes = counters.get("total_inactive_file", 0)
            return CgroupStats(
                cpu_usage_ns=read_or(cpuacct, "usage", 0) if cpuacct else 0,
                memory_usage_bytes=usage_bytes,
                memory_working_set_bytes=max(0, usage_bytes - inactive_bytes),
                memory_rss_bytes=counters.get("total_rss", 0),
                memory_limit_bytes=None if limit_bytes is None or limit_bytes >= _UNLIMITED_BYTES else limit_bytes,
                page_faults=counters.get("total_pgfault", 0),
                major_page_faults=counters.get("total_pgmajfault", 0),
                pids=read_or(pids, "current", 0) if pids else 0,
                pids_limit=read_or(pids, "max", None) if pids else None,
                oom_kills=self._oom_kills(path),
            )

    def children(self, path: str) -> tuple[str, ...]:
        return tuple(sorted({name for point in self._everywhere for name in subdirectories(point + path)}))

    def processes(self, path: str) -> frozenset[int]:
        return frozenset(pid for point in self._hierarchies for pid in _processes(point + path))

    def kill(self, path: str) -> None:
        # frozen first, so that nothing forks away between reading the list and killing what is on it
        freezer = self._open(FreezerController, "freezer", path)
        with contextlib.suppress(OSError):
            if freezer:
                freezer.state = "FROZEN"
        try:
            for pid in self.processes(path):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            with contextlib.suppress(OSError):
                if freezer:
                    freezer.state = "THAWED"

    def remove(self, path: str) -> bool:
        with kernel_errors("remove", path):
            removed = [remove_tree(point + path) for point in self._everywhere]  # each, whatever the others say
            return all(removed)

    def _open(self, kind: Callable[[Directory], Any], controller: str, path: str) -> Any:
        """The controller's files of a cgroup; None where the machine does not have the controller."""
        point = self._mounts.get(controller)
        return kind(Directory(point + path)) if point is not None else None

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
        if memory is not None and limits.memory_limit_bytes is not None:
            memory.limit_in_bytes = limits.memory_limit_bytes

    def _oom_kills(self, path: str) -> int:
        # memory.oom_control counts one cgroup only, not those below it
        point = self._mounts.get("memory")
        if point is None:
            return 0
        return sum(_oom_kills_of(directory) for directory in _walk(point + path))


def _inherit_cpuset(parent: str, child: str) -> None:
    """A new cpuset is empty and holds no process until it gets CPUs and memory nodes: give it its parent's."""
    above, below = CpuSetController(Directory(parent)), CpuSetController(Directory(child))
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not below.get_property(name.encode()):
            below.set_property(name.encode(), above.get_property(name.encode()))


def _processes(directory: str) -> Iterator[int]:
    for below in _walk(directory):
        try:
            with open(f"{below}/cgroup.procs") as file:
                # 0 stands for a process of another PID namespace, which nobody here can kill
                yield from (pid for pid in map(int, file.read().split()) if pid)
        except (FileNotFoundError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.ENODEV):
                raise CgroupError(error.errno, error.strerror, below) from error


def _walk(directory: str) -> Iterator[str]:
    yield directory
    for name in subdirectories(directory):
        yield from _walk(f"{directory}/{name}")


def _oom_kills_of(directory: str) -> int:
    try:
        with open(f"{directory}/memory.oom_control") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
    except FileNotFoundError:
        return 0


def _page_sizes() -> Iterator[str]:
    """From sysfs, in the units of the cgroup files."""
    with contextlib.suppress(FileNotFoundError):
        for name in names_in("/sys/kernel/mm/hugepages"):
            kilobytes = int(name.removeprefix("hugepages-").removesuffix("kB"))
            yield page_size_name(kilobytes * 1024)


def page_size_name(size_bytes: int) -> str:
    """2097152 -> `2MB`, 1073741824 -> `1GB`, as the kernel names its files."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20)):
        if size_bytes >= factor:
            return f"{size_bytes // factor}{unit}"
    return f"{size_bytes // 1024}KB"
