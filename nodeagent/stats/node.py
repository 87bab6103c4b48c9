"""Statistics of the whole machine."""

import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from runtimes.cgroup_metrics import device_name
from runtimes.linux.cgroups.contract import Pressure
from runtimes.linux.cgroups.controllers import parse_pressure, present


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """`device`: what it is on, as in /dev; its number where it has no name there."""

    available_bytes: int
    capacity_bytes: int
    used_bytes: int
    inodes_free: int
    inodes: int
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    name: str
    rx_bytes: int
    rx_errors: int
    tx_bytes: int
    tx_errors: int
    rx_packets: int = 0
    rx_dropped: int = 0
    tx_packets: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStats:
    """`time_ns`: when they were read. `cpu_nano_cores` None: there is no earlier figure to compare with.

    `…_pressure` None: this kernel does not measure it.
    """

    time_ns: int
    start_time: datetime
    cpu_core_nano_seconds: int
    cpu_nano_cores: int | None
    memory_total_bytes: int
    memory_usage_bytes: int
    memory_working_set_bytes: int
    memory_rss_bytes: int
    page_faults: int
    major_page_faults: int
    cpu_pressure: Pressure | None
    memory_pressure: Pressure | None
    io_pressure: Pressure | None
    swap_available_bytes: int
    swap_usage_bytes: int
    interfaces: tuple[Interface, ...]
    filesystem: Filesystem
    max_pids: int
    running_processes: int


class NodeReader:
    """Reads the machine's statistics. `read` blocks for file reads only; call it in a thread."""

    def __init__(self, root_dir: Path, proc: Path = Path("/proc")) -> None:
        self._root_dir = root_dir
        self._proc = proc
        self._cpu: tuple[int, int] | None = None  # (time ns, usage ns) of the last read

    def read(self) -> NodeStats:
        now = time.time_ns()
        times = psutil.cpu_times()
        usage_ns = int((times.user + times.system + times.irq + times.softirq + times.steal + times.nice) * 1e9)
        before, self._cpu = self._cpu, (now, usage_ns)
        memory, events = _figures(self._proc / "meminfo"), _figures(self._proc / "vmstat")
        used = memory["MemTotal"] - memory["MemFree"]
        swap = psutil.swap_memory()
        return NodeStats(
            time_ns=now,
            start_time=datetime.fromtimestamp(psutil.boot_time(), UTC),
            cpu_core_nano_seconds=usage_ns,
            cpu_nano_cores=_rate(before, (now, usage_ns)),
            memory_total_bytes=memory["MemTotal"],
            memory_usage_bytes=used,
            memory_working_set_bytes=max(0, used - memory["Inactive(file)"]),
            memory_rss_bytes=memory["AnonPages"],
            page_faults=events["pgfault"],
            major_page_faults=events["pgmajfault"],
            cpu_pressure=self._pressure("cpu"),
            memory_pressure=self._pressure("memory"),
            io_pressure=self._pressure("io"),
            swap_available_bytes=swap.free,
            swap_usage_bytes=swap.used,
            interfaces=_interfaces(),
            filesystem=filesystem(self._root_dir),
            max_pids=int((self._proc / "sys/kernel/pid_max").read_text()),
            running_processes=int((self._proc / "loadavg").read_text().split()[3].split("/")[1]),
        )

    def _pressure(self, resource: str) -> Pressure | None:
        return present(lambda: parse_pressure((self._proc / "pressure" / resource).read_text()))


def filesystem(path: Path) -> Filesystem:
    """The file system that holds `path`. Raises OSError."""
    usage = shutil.disk_usage(path)
    inodes = os.statvfs(path)
    return Filesystem(
        available_bytes=usage.free,
        capacity_bytes=usage.total,
        used_bytes=usage.used,
        inodes_free=inodes.f_ffree,
        inodes=inodes.f_files,
        device=device_name(path.stat().st_dev),
    )


def _rate(before: tuple[int, int] | None, after: tuple[int, int]) -> int | None:
    """Nanocores between two samples of (time ns, usage ns)."""
    if before is None or after[0] <= before[0]:
        return None
    return max(0, (after[1] - before[1]) * 1_000_000_000 // (after[0] - before[0]))


def _figures(path: Path) -> dict[str, int]:
    """Figures by name of /proc/meminfo (bytes) and /proc/vmstat: lines `MemFree:  5 kB`, `pgfault 5`."""
    found: dict[str, int] = {}
    for line in path.read_text().splitlines():
        name, *parts = line.split()
        if parts and parts[0].isdigit():
            found[name.removesuffix(":")] = int(parts[0]) * (1024 if parts[1:] == ["kB"] else 1)
    return found


def _interfaces() -> tuple[Interface, ...]:
    """Those to the outside: pods' ends of their links and the loopback are left out."""
    return tuple(
        Interface(
            name=name,
            rx_bytes=counters.bytes_recv,
            rx_errors=counters.errin,
            tx_bytes=counters.bytes_sent,
            tx_errors=counters.errout,
            rx_packets=counters.packets_recv,
            rx_dropped=counters.dropin,
            tx_packets=counters.packets_sent,
            tx_dropped=counters.dropout,
        )
        for name, counters in sorted(psutil.net_io_counters(pernic=True).items())
        if name != "lo" and not name.startswith("veth")
    )
