"""What a cgroup tells of its processes (v1 and v2), with what /proc and /sys add to it, as rows of metrics."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes.metrics import Row
from runtimes.oci.cgroups import CgroupTree
from runtimes.oci.statistics import UNLIMITED_BYTES, CgroupReader

_NANO = 1_000_000_000
_MICRO = 1_000_000
_DEFAULT_PERIOD = 100_000
# of memory.stat: (v1, v2)
_MEMORY_TABLE = {
    "container_memory_rss": ("total_rss", "anon"),
    "container_memory_cache": ("total_cache", "file"),
    "container_memory_mapped_file": ("total_mapped_file", "file_mapped"),
    "container_memory_total_active_file_bytes": ("total_active_file", "active_file"),
    "container_memory_total_inactive_file_bytes": ("total_inactive_file", "inactive_file"),
}


class Figures:
    """What a cgroup tells, for the row of a pod or a container. `home`: the device with the containers' files."""

    def __init__(self, tree: CgroupTree, cgroup: str, home: str) -> None:
        self._tree = tree
        self._cgroup = cgroup
        self._home = home
        self._reader = CgroupReader(tree, cgroup)

    def fill(self, row: Row) -> None:
        self._fill_cpu(row)
        self._fill_memory(row)
        self._fill_huge_pages(row)
        self._fill_devices(row)
        self._fill_processes(row)
        self._fill_pressure(row)

    def _fill_cpu(self, row: Row) -> None:
        read, table = self._reader, self._reader.table("cpu", "cpu.stat")
        total_ns = read.cpu_usage_ns()
        if self._tree.unified:
            user, system = _scaled(table, "user_usec", _MICRO), _scaled(table, "system_usec", _MICRO)
            throttled = _scaled(table, "throttled_usec", _MICRO)
        else:
            user, system = (
                None if (ns := read.number("cpuacct", f"cpuacct.{name}")) is None else ns // _NANO
                for name in ("usage_user", "usage_sys")
            )
            throttled = _scaled(table, "throttled_time", _NANO)
        row.add("container_cpu_usage_seconds_total", None if total_ns is None else total_ns // _NANO, "total")
        row.add("container_cpu_user_seconds_total", user)
        row.add("container_cpu_system_seconds_total", system)
        row.add("container_cpu_cfs_periods_total", table.get("nr_periods"))
        row.add("container_cpu_cfs_throttled_periods_total", table.get("nr_throttled"))
        row.add("container_cpu_cfs_throttled_seconds_total", throttled)

    def _fill_memory(self, row: Row) -> None:
        read, unified = self._reader, self._tree.unified
        table = read.table("memory", "memory.stat")
        usage = cri.MemoryUsage()
        read.fill_memory(usage)
        swap = cri.SwapUsage()
        read.fill_swap(swap)
        if usage.HasField("usage_bytes"):
            row.add("container_memory_usage_bytes", usage.usage_bytes.value)
            row.add("container_memory_working_set_bytes", usage.working_set_bytes.value)
        most = "memory.peak" if unified else "memory.max_usage_in_bytes"
        row.add("container_memory_max_usage_bytes", read.number("memory", most))
        for family, names in _MEMORY_TABLE.items():
            row.add(family, table.get(names[unified]))
        row.add("container_memory_swap", swap.swap_usage_bytes.value if swap.HasField("swap_usage_bytes") else None)
        if unified:
            row.add("container_memory_kernel_usage", table.get("kernel", table.get("kernel_stack")))
            row.add("container_memory_failcnt", read.table("memory", "memory.events").get("max"))
        else:
            row.add("container_memory_kernel_usage", read.number("memory", "memory.kmem.usage_in_bytes"))
            row.add("container_memory_failcnt", read.number("memory", "memory.failcnt"))
        for kind in ("pgfault", "pgmajfault"):
            if not unified:  # v2 knows the sum only
                row.add("container_memory_failures_total", table.get(kind), kind, "container")
            row.add(
                "container_memory_failures_total", table.get(kind if unified else f"total_{kind}"), kind, "hierarchy"
            )

    def _fill_huge_pages(self, row: Row) -> None:
        usage = "current" if self._tree.unified else "usage_in_bytes"
        for size in page_sizes(self._tree):
            row.add("container_hugetlb_usage_bytes", self._reader.number("hugetlb", f"hugetlb.{size}.{usage}"), size)
            most = self._reader.number("hugetlb", f"hugetlb.{size}.max_usage_in_bytes")
            row.add("container_hugetlb_max_usage_bytes", most, size)

    def _fill_devices(self, row: Row) -> None:
        figures = _read_io_stat(self._reader) if self._tree.unified else _read_blkio(self._reader)
        if figures == {}:  # the kernel names devices from the first use on
            figures = {self._home: dict.fromkeys(_IO_STAT.values(), 0)}
        for device, values in (figures or {}).items():
            for family, value in values.items():
                row.add(family, value, device)

    def _fill_processes(self, row: Row) -> None:
        pids = self._tree.processes(self._cgroup)
        row.add("container_processes", len(pids))
        row.add("container_threads", self._reader.process_count())  # the pids controller counts threads
        most = self._reader.number("pids", "pids.max")
        row.add("container_threads_max", 0 if most is not None and most >= UNLIMITED_BYTES else most)
        descriptors_, sockets = _count_descriptors(pids)
        row.add("container_file_descriptors", descriptors_)
        row.add("container_sockets", sockets)

    def _fill_pressure(self, row: Row) -> None:
        for resource in ("cpu", "memory", "io"):
            found = cri.PsiStats()
            self._reader.fill_pressure(found, resource)
            for kind, name in (("waiting", "Some"), ("stalled", "Full")):
                if found.HasField(name):
                    total = getattr(found, name).Total // _MICRO
                    row.add(f"container_pressure_{resource}_{kind}_seconds_total", total)

    def fill_specification(self, row: Row) -> None:
        """The limits that are in force."""
        fill_limits(row, _limits_v2(self._reader) if self._tree.unified else _limits_v1(self._reader))


def fill_limits(row: Row, limits: Mapping[str, int | None]) -> None:
    quota = limits["quota"]
    row.add("container_spec_cpu_period", limits["period"] or _DEFAULT_PERIOD)
    row.add("container_spec_cpu_quota", quota if quota is not None and quota > 0 else None)
    row.add("container_spec_cpu_shares", limits["shares"] or None)
    for name in ("memory", "memory_reservation", "memory_swap"):
        limit = limits[name]
        row.add(f"container_spec_{name}_limit_bytes", 0 if limit is None or limit >= UNLIMITED_BYTES else limit)


def limits_said(said: cri.LinuxContainerResources) -> dict[str, int | None]:
    """Of a container without a cgroup of its own."""
    return {
        "period": said.cpu_period,
        "quota": said.cpu_quota,
        "shares": said.cpu_shares,
        "memory": said.memory_limit_in_bytes,
        "memory_reservation": None,
        "memory_swap": said.memory_swap_limit_in_bytes,
    }


def _limits_v1(read: CgroupReader) -> dict[str, int | None]:
    return {
        "period": read.number("cpu", "cpu.cfs_period_us"),
        "quota": read.number("cpu", "cpu.cfs_quota_us"),
        "shares": read.number("cpu", "cpu.shares"),
        "memory": read.number("memory", "memory.limit_in_bytes"),
        "memory_reservation": read.number("memory", "memory.soft_limit_in_bytes"),
        "memory_swap": read.number("memory", "memory.memsw.limit_in_bytes"),
    }


def _limits_v2(read: CgroupReader) -> dict[str, int | None]:
    quota, _, period = (read.text("cpu", "cpu.max") or "").strip().partition(" ")
    weight, memory, swap = (read.number(*name) for name in _V2_LIMITS)
    return {
        "period": int(period) if period else None,
        "quota": int(quota) if quota.isdigit() else None,
        # the other way round than runtimes make a weight of shares
        "shares": None if weight is None else 2 + (weight - 1) * 262142 // 9999,
        "memory": memory,
        "memory_reservation": read.number("memory", "memory.low"),
        "memory_swap": None if memory is None or swap is None else memory + swap,
    }


_V2_LIMITS = (("cpu", "cpu.weight"), ("memory", "memory.max"), ("memory", "memory.swap.max"))


def _scaled(table: Mapping[str, int], name: str, divisor: int) -> int | None:
    return table[name] // divisor if name in table else None


def _read_blkio(read: CgroupReader) -> dict[str, dict[str, int]] | None:
    """cgroup v1: lines "8:0 Read 4096". None: nothing is counted here."""
    found: dict[str, dict[str, int]] = {}
    for file, suffix in (("io_service_bytes", "_bytes"), ("io_serviced", "")):
        text = read.text("blkio", f"blkio.throttle.{file}_recursive")
        if text is None:
            return None
        for line in text.splitlines():
            match line.split():
                case [device, ("Read" | "Write") as verb, value]:
                    family = f"container_fs_{verb.lower()}s{suffix}_total"
                    found.setdefault(_device(device), {})[family] = int(value)
    return found


_IO_STAT = {
    "rbytes": "container_fs_reads_bytes_total",
    "wbytes": "container_fs_writes_bytes_total",
    "rios": "container_fs_reads_total",
    "wios": "container_fs_writes_total",
}


def _read_io_stat(read: CgroupReader) -> dict[str, dict[str, int]] | None:
    """cgroup v2: lines "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0". None: nothing is counted here."""
    found: dict[str, dict[str, int]] = {}
    text = read.text("io", "io.stat")
    if text is None:
        return None
    for line in text.splitlines():
        device, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        known = {family: int(values[name]) for name, family in _IO_STAT.items() if name in values}
        if known:
            found[_device(device)] = known
    return found


def _device(numbers: str) -> str:
    major, _, minor = numbers.partition(":")
    return device_name(os.makedev(int(major), int(minor)))


def device_name(device: int) -> str:
    """/dev/sda for its number; of a file system without a device, or unknown, the number as text."""
    numbers = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError):
        for line in Path(f"/sys/dev/block/{numbers}/uevent").read_text().splitlines():
            if line.startswith("DEVNAME="):
                return f"/dev/{line.partition('=')[2]}"
    return numbers


def _count_descriptors(pids: set[int]) -> tuple[int, int]:
    """(open file descriptors, those that are sockets); of processes that end meanwhile, none."""
    found = sockets = 0
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                found += 1
                with contextlib.suppress(OSError):
                    # the link's text: looking at the file itself could wait for a server that is gone
                    sockets += str(Path(entry.path).readlink()).startswith("socket:")
    return found, sockets


def fill_ulimits(row: Row, pid: int) -> None:
    """proc(5) limits: columns of fixed width, "Max open files            1024                 ..."."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]:
            name, soft = line[:26].strip(), line[26:47].strip()
            if soft.isdigit():
                row.add("container_ulimits_soft", int(soft), name.lower().replace(" ", "_"))


def page_sizes(tree: CgroupTree) -> list[str]:
    with contextlib.suppress(KeyError, OSError):
        names = (path.name.split(".") for path in tree.directory("hugetlb", "/").glob("hugetlb.*"))
        return sorted({name[1] for name in names if len(name) > 2 and name[1] not in ("", "events")})
    return []
