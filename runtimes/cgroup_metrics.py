"""The metrics of a cgroup's processes, with what /proc and /sys add to them."""

import contextlib
import functools
import os
from collections.abc import Collection
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import (
    CgroupError,
    CgroupLimits,
    Cgroups,
    CpuStats,
    DeviceStats,
    IOStats,
    MemoryStats,
    Pressure,
)
from runtimes.metrics import Row

_NANO = 1_000_000_000
_MICRO = 1_000_000
_DEFAULT_PERIOD = 100_000


class CgroupMetrics:
    """What a cgroup tells, for the row of a pod, a container or a group of them. Blocks.

    `home`: number of the device with their files, if any. `descriptors`: kept for all rows of a page.
    """

    def __init__(
        self, cgroups: Cgroups, cgroup: str, home: int | None = None, descriptors: "OpenDescriptors | None" = None
    ) -> None:
        self._cgroups = cgroups
        self._statistics = cgroups.statistics
        self._cgroup = cgroup
        self._home = home
        self._descriptors = OpenDescriptors() if descriptors is None else descriptors

    def fill(self, row: Row, *, each_process: bool = True) -> None:
        """What is used, and the limits that are in force. `each_process`: also count them, and the files that they have open."""
        ask = self._statistics
        cpu, memory, io = ask.cpu(self._cgroup), ask.memory(self._cgroup), ask.io(self._cgroup)
        limits = self._limits()
        _fill_cpu(row, cpu)
        if limits.cpu_quota_us is not None and limits.cpu_quota_us > 0:
            _fill_quota(row, cpu)
        _fill_memory(row, memory)
        self._fill_huge_pages(row)
        self._fill_devices(row, io)
        self._fill_threads(row)
        if each_process:
            self._fill_processes(row)
        for resource, pressure in (("cpu", cpu.pressure), ("memory", memory.pressure), ("io", io.pressure)):
            fill_pressure(row, resource, pressure)
        fill_limits(row, limits)

    def _fill_huge_pages(self, row: Row) -> None:
        for size in self._cgroups.huge_page_sizes:
            pages = self._statistics.huge_pages(self._cgroup, size)
            row.add("container_hugetlb_usage_bytes", pages.usage_bytes, size)
            row.add("container_hugetlb_max_usage_bytes", pages.peak_bytes, size)

    def _fill_devices(self, row: Row, io: IOStats) -> None:
        if io.devices is None:
            return
        devices = io.devices
        if not devices and self._home is not None:  # the kernel names devices from the first use on
            devices = {f"{os.major(self._home)}:{os.minor(self._home)}": _NEVER_USED}
        for numbers, values in devices.items():
            device, (major, _, minor) = _device(numbers), numbers.partition(":")
            _fill_device(row, device, values)
            for operation, moved in (("Read", values.read_bytes), ("Write", values.written_bytes)):
                row.add("container_blkio_device_usage_total", moved, device, major, minor, operation)

    def _fill_threads(self, row: Row) -> None:
        pids = self._statistics.pids(self._cgroup)
        row.add("container_threads", pids.current)
        row.add("container_threads_max", None if pids.limit is None else max(0, pids.limit))

    def _fill_processes(self, row: Row) -> None:
        running = self._cgroups.processes(self._cgroup)
        row.add("container_processes", len(running))
        found, sockets = self._descriptors.of(running)
        row.add("container_file_descriptors", found)
        row.add("container_sockets", sockets)

    def _limits(self) -> CgroupLimits:
        try:
            return self._cgroups.limits(self._cgroup)
        except CgroupError:  # it is gone
            return CgroupLimits()


_NEVER_USED = DeviceStats(read_bytes=0, written_bytes=0, reads=0, writes=0)


def _fill_cpu(row: Row, cpu: CpuStats) -> None:
    row.add("container_cpu_usage_seconds_total", _seconds(cpu.usage_ns), "total")
    row.add("container_cpu_user_seconds_total", _seconds(cpu.user_ns))
    row.add("container_cpu_system_seconds_total", _seconds(cpu.system_ns))


def _fill_quota(row: Row, cpu: CpuStats) -> None:
    row.add("container_cpu_cfs_periods_total", cpu.periods)
    row.add("container_cpu_cfs_throttled_periods_total", cpu.throttled_periods)
    row.add("container_cpu_cfs_throttled_seconds_total", _seconds(cpu.throttled_ns))
    row.add("container_cpu_cfs_burst_periods_total", cpu.burst_periods)
    row.add("container_cpu_cfs_burst_seconds_total", _seconds(cpu.burst_ns))


def _fill_device(row: Row, device: str, values: DeviceStats) -> None:
    row.add("container_fs_reads_bytes_total", values.read_bytes, device)
    row.add("container_fs_writes_bytes_total", values.written_bytes, device)
    row.add("container_fs_reads_total", values.reads, device)
    row.add("container_fs_writes_total", values.writes, device)


def _seconds(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else nanoseconds // _NANO


def _fill_memory(row: Row, memory: MemoryStats) -> None:
    row.add("container_memory_usage_bytes", memory.usage_bytes)
    row.add("container_memory_working_set_bytes", memory.working_set_bytes)
    row.add("container_memory_max_usage_bytes", memory.peak_bytes)
    row.add("container_memory_rss", memory.rss_bytes)
    row.add("container_memory_cache", memory.cache_bytes)
    row.add("container_memory_mapped_file", memory.mapped_file_bytes)
    row.add("container_memory_total_active_file_bytes", memory.active_file_bytes)
    row.add("container_memory_total_inactive_file_bytes", memory.inactive_file_bytes)
    row.add("container_memory_swap", memory.swap_bytes)
    row.add("container_memory_kernel_usage", memory.kernel_bytes)
    row.add("container_memory_failcnt", memory.limit_hits)
    for kind, own, summed in (
        ("pgfault", memory.own_page_faults, memory.page_faults),
        ("pgmajfault", memory.own_major_page_faults, memory.major_page_faults),
    ):
        row.add("container_memory_failures_total", own, kind, "container")  # v2 knows the sum only
        row.add("container_memory_failures_total", summed, kind, "hierarchy")


def fill_pressure(row: Row, resource: str, pressure: Pressure | None) -> None:
    """None: the kernel does not measure it."""
    if pressure is None:
        return
    for kind, stall in (("waiting", pressure.some), ("stalled", pressure.full)):
        if stall is not None:
            row.add(f"container_pressure_{resource}_{kind}_seconds_total", stall.total_us // _MICRO)


def fill_limits(row: Row, limits: CgroupLimits) -> None:
    quota_us = limits.cpu_quota_us
    row.add("container_spec_cpu_period", limits.cpu_period_us or _DEFAULT_PERIOD)
    row.add("container_spec_cpu_quota", quota_us if quota_us is not None and quota_us > 0 else None)
    row.add("container_spec_cpu_shares", limits.cpu_shares or None)
    row.add("container_spec_memory_limit_bytes", max(0, limits.memory_limit_bytes or 0))
    row.add("container_spec_memory_reservation_limit_bytes", max(0, limits.memory_reservation_bytes or 0))
    row.add("container_spec_memory_swap_limit_bytes", max(0, limits.memory_swap_limit_bytes or 0))


def limits_said(said: cri.LinuxContainerResources) -> CgroupLimits:
    """Of a container without a cgroup of its own."""
    return CgroupLimits(
        cpu_period_us=said.cpu_period,
        cpu_quota_us=said.cpu_quota,
        cpu_shares=said.cpu_shares,
        memory_limit_bytes=said.memory_limit_in_bytes,
        memory_swap_limit_bytes=said.memory_swap_limit_in_bytes,
    )


def _device(numbers: str) -> str:
    major, _, minor = numbers.partition(":")
    return device_name(os.makedev(int(major), int(minor)))


@functools.lru_cache(maxsize=1024)  # a number stands for one name; every row of every pod asks
def device_name(device: int) -> str:
    """/dev/sda for its number; of a file system without a device, or unknown, the number as text."""
    numbers = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in Path(f"/sys/dev/block/{numbers}/uevent").read_text().splitlines():
            if line.startswith("DEVNAME="):
                return f"/dev/{line.partition('=')[2]}"
    return numbers


class OpenDescriptors:
    """Counts open files. A process is counted once, for however many cgroups it is in."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[int, int]] = {}

    def of(self, pids: Collection[int]) -> tuple[int, int]:
        """(open file descriptors, those that are sockets); of processes that end meanwhile, none."""
        found = sockets = 0
        for pid in pids:
            counted = self._of.get(pid)
            if counted is None:
                counted = self._of[pid] = _count_descriptors(pid)
            found += counted[0]
            sockets += counted[1]
        return found, sockets


def _count_descriptors(pid: int) -> tuple[int, int]:
    folder = f"/proc/{pid}/fd"
    sockets = 0
    try:
        names = os.listdir(folder)  # noqa: PTH208  # path objects cost more than the kernel does
    except OSError:
        return 0, 0
    for name in names:
        with contextlib.suppress(OSError):
            # the link's text: looking at the file itself could wait for a server that is gone
            sockets += os.readlink(f"{folder}/{name}").startswith("socket:")  # noqa: PTH115
    return len(names), sockets


def fill_ulimits(row: Row, pid: int) -> None:
    """proc(5) limits: columns of fixed width, "Max open files            1024                 ..."."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]:
            name, soft = line[:26].strip(), line[26:47].strip()
            if soft.isdigit():
                row.add("container_ulimits_soft", int(soft), name.lower().replace(" ", "_"))
