"""What cgroup v1 counts, from the files of its controllers."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from cgroupspy.controllers import Controller
from typing_extensions import override

from runtimes.linux.cgroups.contract import (
    CgroupStatistics,
    CpuStats,
    DeviceStats,
    HugePageStats,
    IOStats,
    MemoryStats,
    PidsStats,
)
from runtimes.linux.cgroups.controllers import (
    UNLIMITED_BYTES,
    BlkIOController,
    CpuAcctController,
    CpuController,
    Directory,
    HugetlbController,
    MemoryController,
    PidsController,
    present,
)
from runtimes.linux.cgroups.tree import join

_C = TypeVar("_C", bound=Controller)
_T = TypeVar("_T")


class StatisticsV1(CgroupStatistics):
    """`mounts`: controller -> mount point."""

    def __init__(self, mounts: Mapping[str, str]) -> None:
        self._mounts = mounts

    @override
    def cpu(self, path: str) -> CpuStats:
        table = self._read("cpu", CpuController, path, lambda cpu: cpu.stat) or {}
        return CpuStats(
            usage_ns=self._read("cpuacct", CpuAcctController, path, lambda cpu: cpu.usage),
            user_ns=self._read("cpuacct", CpuAcctController, path, lambda cpu: cpu.usage_user),
            system_ns=self._read("cpuacct", CpuAcctController, path, lambda cpu: cpu.usage_sys),
            periods=table.get("nr_periods"),
            throttled_periods=table.get("nr_throttled"),
            throttled_ns=table.get("throttled_time"),
            burst_periods=table.get("nr_bursts"),
            burst_ns=table.get("burst_time"),
        )

    @override
    def memory(self, path: str) -> MemoryStats:
        def read(file: Callable[[MemoryController], _T]) -> _T | None:
            return self._read("memory", MemoryController, path, file)

        usage_bytes, both_bytes = read(lambda it: it.usage_in_bytes), read(lambda it: it.memsw_usage_in_bytes)
        if usage_bytes is None:
            return MemoryStats()
        table = read(lambda it: it.stat) or {}
        limit_bytes = read(lambda it: it.limit_in_bytes)
        return MemoryStats(
            usage_bytes=usage_bytes,
            # only these names sum up the cgroups below
            working_set_bytes=max(0, usage_bytes - table.get("total_inactive_file", 0)),
            peak_bytes=read(lambda it: it.max_usage_in_bytes),
            limit_bytes=None if limit_bytes is None or limit_bytes >= UNLIMITED_BYTES else limit_bytes,
            limit_hits=read(lambda it: it.failcnt),
            rss_bytes=table.get("total_rss"),
            cache_bytes=table.get("total_cache"),
            mapped_file_bytes=table.get("total_mapped_file"),
            active_file_bytes=table.get("total_active_file"),
            inactive_file_bytes=table.get("total_inactive_file"),
            kernel_bytes=read(lambda it: it.kmem_usage_in_bytes),
            swap_bytes=None if both_bytes is None else max(0, both_bytes - usage_bytes),
            page_faults=table.get("total_pgfault"),
            major_page_faults=table.get("total_pgmajfault"),
            own_page_faults=table.get("pgfault"),
            own_major_page_faults=table.get("pgmajfault"),
        )

    @override
    def io(self, path: str) -> IOStats:
        moved = self._read("blkio", BlkIOController, path, lambda blkio: blkio.io_service_bytes)
        served = self._read("blkio", BlkIOController, path, lambda blkio: blkio.io_serviced)
        if moved is None or served is None:
            return IOStats()
        return IOStats(
            devices={
                device: DeviceStats(
                    read_bytes=moved.get(device, {}).get("Read"),
                    written_bytes=moved.get(device, {}).get("Write"),
                    reads=served.get(device, {}).get("Read"),
                    writes=served.get(device, {}).get("Write"),
                )
                for device in dict.fromkeys((*moved, *served))
            }
        )

    @override
    def pids(self, path: str) -> PidsStats:
        limit = self._read("pids", PidsController, path, lambda pids: -1 if pids.max is None else pids.max)
        return PidsStats(current=self._read("pids", PidsController, path, lambda pids: pids.current), limit=limit)

    @override
    def huge_pages(self, path: str, size: str) -> HugePageStats:
        return HugePageStats(
            usage_bytes=self._read("hugetlb", HugetlbController, path, lambda it: it.read(size, "usage_in_bytes")),
            peak_bytes=self._read("hugetlb", HugetlbController, path, lambda it: it.read(size, "max_usage_in_bytes")),
        )

    @override
    def oom_kills(self, path: str) -> int:
        table: Mapping[str, int] | None = self._read("memory", MemoryController, path, lambda memory: memory.oom_events)
        return (table or {}).get("oom_kill", 0)

    def _read(self, controller: str, kind: Callable[[Directory], _C], path: str, file: Callable[[_C], _T]) -> _T | None:
        point = self._mounts.get(controller)
        return None if point is None else present(lambda: file(kind(Directory(join(point, path)))))
