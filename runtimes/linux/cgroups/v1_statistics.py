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
    def cpu(self, path: str, *, details: bool = True) -> CpuStats:
        accounting = self._open("cpuacct", CpuAcctController, path)
        usage_ns = _read(accounting, lambda it: it.usage)
        if not details:
            return CpuStats(usage_ns=usage_ns)
        table = _read(self._open("cpu", CpuController, path), lambda it: it.stat) or {}
        return CpuStats(
            usage_ns=usage_ns,
            user_ns=_read(accounting, lambda it: it.usage_user),
            system_ns=_read(accounting, lambda it: it.usage_sys),
            periods=table.get("nr_periods"),
            throttled_periods=table.get("nr_throttled"),
            throttled_ns=table.get("throttled_time"),
            burst_periods=table.get("nr_bursts"),
            burst_ns=table.get("burst_time"),
        )

    @override
    def memory(self, path: str, *, details: bool = True) -> MemoryStats:
        memory = self._open("memory", MemoryController, path)
        usage_bytes = _read(memory, lambda it: it.usage_in_bytes)
        if usage_bytes is None:
            return MemoryStats()
        both_bytes = _read(memory, lambda it: it.memsw_usage_in_bytes)
        table = _read(memory, lambda it: it.stat) or {}
        limit_bytes = _read(memory, lambda it: it.limit_in_bytes)
        more = memory if details else None
        return MemoryStats(
            usage_bytes=usage_bytes,
            # only these names sum up the cgroups below
            working_set_bytes=max(0, usage_bytes - table.get("total_inactive_file", 0)),
            peak_bytes=_read(more, lambda it: it.max_usage_in_bytes),
            limit_bytes=None if limit_bytes is None or limit_bytes >= UNLIMITED_BYTES else limit_bytes,
            limit_hits=_read(more, lambda it: it.failcnt),
            rss_bytes=table.get("total_rss"),
            cache_bytes=table.get("total_cache"),
            mapped_file_bytes=table.get("total_mapped_file"),
            active_file_bytes=table.get("total_active_file"),
            inactive_file_bytes=table.get("total_inactive_file"),
            kernel_bytes=_read(more, lambda it: it.kmem_usage_in_bytes),
            swap_bytes=None if both_bytes is None else max(0, both_bytes - usage_bytes),
            page_faults=table.get("total_pgfault"),
            major_page_faults=table.get("total_pgmajfault"),
            own_page_faults=table.get("pgfault"),
            own_major_page_faults=table.get("pgmajfault"),
        )

    @override
    def io(self, path: str) -> IOStats:
        blkio = self._open("blkio", BlkIOController, path)
        moved, served = _read(blkio, lambda it: it.io_service_bytes), _read(blkio, lambda it: it.io_serviced)
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
    def pids(self, path: str, *, details: bool = True) -> PidsStats:
        pids = self._open("pids", PidsController, path)
        limit = _read(pids, lambda it: -1 if it.max is None else it.max) if details else None
        return PidsStats(current=_read(pids, lambda it: it.current), limit=limit)

    @override
    def huge_pages(self, path: str, size: str) -> HugePageStats:
        pages = self._open("hugetlb", HugetlbController, path)
        return HugePageStats(
            usage_bytes=_read(pages, lambda it: it.read(size, "usage_in_bytes")),
            peak_bytes=_read(pages, lambda it: it.read(size, "max_usage_in_bytes")),
        )

    @override
    def oom_kills(self, path: str) -> int:
        memory = self._open("memory", MemoryController, path)
        table: Mapping[str, int] | None = _read(memory, lambda it: it.oom_events)
        return (table or {}).get("oom_kill", 0)

    def _open(self, controller: str, kind: Callable[[Directory], _C], path: str) -> _C | None:
        point = self._mounts.get(controller)
        return None if point is None else kind(Directory(join(point, path)))


def _read(controller: _C | None, file: Callable[[_C], _T]) -> _T | None:
    return None if controller is None else present(lambda: file(controller))
