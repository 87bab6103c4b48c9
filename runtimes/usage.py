"""What the kernel counts of cgroups and network interfaces, in the CRI's messages. What is not counted is left out."""

import time
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import Cgroups, IOStats, MemoryStats, Pressure

_LOOPBACK = "lo"
_DEFAULT = "eth0"


class CgroupUsage:
    """`usage_nano_cores` is the mean since the last time that the same cgroup was asked for. Blocks, off the event loop."""

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups
        self._samples: dict[str, tuple[int, int]] = {}  # cgroup -> (timestamp ns, CPU usage ns)

    def fill_pod(self, linux: cri.LinuxPodSandboxStats, cgroup: str) -> None:
        """With all that is below the cgroup; network and containers are the caller's."""
        self._fill_cpu(linux.cpu, cgroup)
        fill_memory(linux.memory, self._cgroups.statistics.memory(cgroup, details=False))
        self._fill_io(linux.io, cgroup)
        linux.process.timestamp = time.time_ns()
        linux.process.process_count.value = process_count(self._cgroups, cgroup)

    def fill_container(self, stats: cri.ContainerStats, cgroup: str) -> None:
        self._fill_cpu(stats.cpu, cgroup)
        memory = self._cgroups.statistics.memory(cgroup, details=False)
        fill_memory(stats.memory, memory)
        fill_swap(stats.swap, memory)
        self._fill_io(stats.io, cgroup)

    def keep(self, cgroups: AbstractSet[str]) -> None:
        """Forget all others."""
        for cgroup in self._samples.keys() - cgroups:  # all at once: another thread may be taking samples
            self._samples.pop(cgroup, None)

    def _fill_cpu(self, cpu: cri.CpuUsage, cgroup: str) -> None:
        found = self._cgroups.statistics.cpu(cgroup, details=False)
        if found.usage_ns is None:
            return
        now = time.time_ns()
        cpu.timestamp = now
        cpu.usage_core_nano_seconds.value = found.usage_ns
        before = self._samples.get(cgroup)
        if before is not None and now > before[0]:
            cpu.usage_nano_cores.value = max(0, (found.usage_ns - before[1]) * 1_000_000_000 // (now - before[0]))
        self._samples[cgroup] = (now, found.usage_ns)
        fill_pressure(cpu.psi, found.pressure)

    def _fill_io(self, io: cri.IoUsage, cgroup: str) -> None:
        if self._cgroups.version == 2:  # the CRI has a place for pressure only, and v1 does not know it
            fill_io(io, self._cgroups.statistics.io(cgroup))


def process_count(cgroups: Cgroups, cgroup: str) -> int:
    """The pids controller counts threads; without it there are the processes."""
    if "pids" in cgroups.controllers:
        return cgroups.statistics.pids(cgroup, details=False).current or 0
    return len(cgroups.processes(cgroup))


def fill_memory(memory: cri.MemoryUsage, found: MemoryStats) -> None:
    if found.usage_bytes is None or found.working_set_bytes is None:
        return
    memory.timestamp = time.time_ns()
    memory.usage_bytes.value = found.usage_bytes
    memory.working_set_bytes.value = found.working_set_bytes
    memory.rss_bytes.value = found.rss_bytes or 0
    memory.page_faults.value = found.page_faults or 0
    memory.major_page_faults.value = found.major_page_faults or 0
    if found.limit_bytes is not None:
        memory.available_bytes.value = max(0, found.limit_bytes - found.working_set_bytes)
    fill_pressure(memory.psi, found.pressure)


def fill_swap(swap: cri.SwapUsage, found: MemoryStats) -> None:
    if found.swap_bytes is None:
        return
    swap.timestamp = time.time_ns()
    swap.swap_usage_bytes.value = found.swap_bytes
    if found.swap_limit_bytes is not None:
        swap.swap_available_bytes.value = max(0, found.swap_limit_bytes - found.swap_bytes)


def fill_io(io: cri.IoUsage, found: IOStats) -> None:
    io.timestamp = time.time_ns()
    fill_pressure(io.psi, found.pressure)


def net_dev(text: str) -> list[tuple[str, list[int]]]:
    """What a `/proc/PID/net/dev` (proc(5)) says, without the loopback: (name, figures)."""
    found = []
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        if name.strip() != _LOOPBACK:
            found.append((name.strip(), list(map(int, numbers.split()))))
    return found


def network_usage(found: Iterable[tuple[str, list[int]]]) -> cri.NetworkUsage:
    """Of the interfaces of a pod; eth0 is the default one."""
    usage = cri.NetworkUsage(timestamp=time.time_ns())
    for name, figures in found:
        one = cri.NetworkInterfaceUsage(name=name)
        one.rx_bytes.value, one.rx_errors.value = figures[0], figures[2]
        one.tx_bytes.value, one.tx_errors.value = figures[8], figures[10]
        if name == _DEFAULT:
            usage.default_interface.CopyFrom(one)
        else:
            usage.interfaces.append(one)
    return usage


def fill_pressure(psi: cri.PsiStats, found: Pressure | None) -> None:
    if found is None:
        return
    for data, stall in ((psi.Some, found.some), (psi.Full, found.full)):
        if stall is not None:
            data.Avg10, data.Avg60, data.Avg300 = stall.average_10s, stall.average_60s, stall.average_300s
            data.Total = stall.total_us
