"""What cgroup v2 counts, from the files of the unified hierarchy."""

from collections.abc import Mapping

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
    IOV2,
    CpuV2,
    Directory,
    HugetlbController,
    MemoryV2,
    PidsController,
    present,
)
from runtimes.linux.cgroups.tree import join


class StatisticsV2(CgroupStatistics):
    """`root`: where the hierarchy is mounted."""

    def __init__(self, root: str) -> None:
        self._root = root

    @override
    def cpu(self, path: str, *, details: bool = True) -> CpuStats:
        cpu = CpuV2(self._directory(path))
        table = present(lambda: cpu.stat) or {}
        return CpuStats(
            usage_ns=_nanoseconds(table, "usage_usec"),
            user_ns=_nanoseconds(table, "user_usec"),
            system_ns=_nanoseconds(table, "system_usec"),
            periods=table.get("nr_periods"),
            throttled_periods=table.get("nr_throttled"),
            throttled_ns=_nanoseconds(table, "throttled_usec"),
            burst_periods=table.get("nr_bursts"),
            burst_ns=_nanoseconds(table, "burst_usec"),
            pressure=present(lambda: cpu.pressure),
        )

    @override
    def memory(self, path: str, *, details: bool = True) -> MemoryStats:
        memory = MemoryV2(self._directory(path))
        usage_bytes = present(lambda: memory.current)
        table = present(lambda: memory.stat) or {}
        if usage_bytes is None and "anon" in table:  # the root alone has no memory.current
            usage_bytes = table["anon"] + table.get("file", 0)
        if usage_bytes is None:
            return MemoryStats()
        return MemoryStats(
            usage_bytes=usage_bytes,
            working_set_bytes=max(0, usage_bytes - table.get("inactive_file", 0)),
            peak_bytes=present(lambda: memory.peak) if details else None,
            limit_bytes=present(lambda: memory.max),
            limit_hits=(present(lambda: memory.events) or {}).get("max") if details else None,
            rss_bytes=table.get("anon"),
            cache_bytes=table.get("file"),
            mapped_file_bytes=table.get("file_mapped"),
            active_file_bytes=table.get("active_file"),
            inactive_file_bytes=table.get("inactive_file"),
            kernel_bytes=table.get("kernel", table.get("kernel_stack")),
            swap_bytes=present(lambda: memory.swap_current),
            swap_limit_bytes=present(lambda: memory.swap_max),
            page_faults=table.get("pgfault"),
            major_page_faults=table.get("pgmajfault"),
            pressure=present(lambda: memory.pressure),
        )

    @override
    def io(self, path: str) -> IOStats:
        io = IOV2(self._directory(path))
        table = present(lambda: io.stat)
        return IOStats(
            devices=None if table is None else {device: _device(values) for device, values in table.items()},
            pressure=present(lambda: io.pressure),
        )

    @override
    def pids(self, path: str, *, details: bool = True) -> PidsStats:
        pids = PidsController(self._directory(path))
        limit = present(lambda: -1 if pids.max is None else pids.max) if details else None
        return PidsStats(current=present(lambda: pids.current), limit=limit)

    @override
    def huge_pages(self, path: str, size: str) -> HugePageStats:
        pages = HugetlbController(self._directory(path))
        return HugePageStats(usage_bytes=present(lambda: pages.read(size, "current")))

    @override
    def oom_kills(self, path: str) -> int:
        memory = MemoryV2(self._directory(path))
        return (present(lambda: memory.events) or {}).get("oom_kill", 0)

    def _directory(self, path: str) -> Directory:
        return Directory(join(self._root, path))


def _nanoseconds(table: Mapping[str, int], name: str) -> int | None:
    return table[name] * 1000 if name in table else None


def _device(values: Mapping[str, int]) -> DeviceStats:
    return DeviceStats(
        read_bytes=values.get("rbytes"),
        written_bytes=values.get("wbytes"),
        reads=values.get("rios"),
        writes=values.get("wios"),
    )
