"""Figures of a cgroup in the CRI's words."""

import functools
from types import SimpleNamespace
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes import usage
from runtimes.linux.cgroups.contract import CpuStats, IOStats, MemoryStats, PidsStats, Pressure, Stall
from runtimes.usage import CgroupUsage, fill_io, fill_memory, fill_swap, net_dev, network_usage

PRESSURE = Pressure(
    some=Stall(average_10s=1.5, average_60s=0.25, average_300s=0, total_us=12345),
    full=Stall(average_10s=0, average_60s=0, average_300s=0, total_us=7),
)
USED = MemoryStats(
    usage_bytes=1000,
    working_set_bytes=700,
    rss_bytes=400,
    limit_bytes=5000,
    swap_bytes=50,
    swap_limit_bytes=80,
    page_faults=7,
    major_page_faults=2,
    pressure=PRESSURE,
)


def test_memory() -> None:
    """What is available is the limit without the working set, in use by whatever else it is."""
    memory = cri.MemoryUsage()
    fill_memory(memory, USED)
    assert memory.timestamp > 0
    memory.timestamp = 0
    wanted = cri.MemoryUsage(
        usage_bytes=cri.UInt64Value(value=1000),
        working_set_bytes=cri.UInt64Value(value=700),
        rss_bytes=cri.UInt64Value(value=400),
        available_bytes=cri.UInt64Value(value=4300),
        page_faults=cri.UInt64Value(value=7),
        major_page_faults=cri.UInt64Value(value=2),
        psi=cri.PsiStats(
            Some=cri.PsiData(Avg10=1.5, Avg60=0.25, Total=12345), Full=cri.PsiData(Avg10=0, Avg60=0, Total=7)
        ),
    )
    assert memory == wanted


def test_memory_without_a_limit() -> None:
    """Nothing is available that could be told."""
    memory = cri.MemoryUsage()
    fill_memory(memory, MemoryStats(usage_bytes=1000, working_set_bytes=700))
    assert not memory.HasField("available_bytes")


def test_swap() -> None:
    """Use, and what is left of the limit."""
    swap = cri.SwapUsage()
    fill_swap(swap, USED)
    assert (swap.swap_usage_bytes.value, swap.swap_available_bytes.value) == (50, 30)


def test_io() -> None:
    """Pressure, where the kernel tells it."""
    io = cri.IoUsage()
    fill_io(io, IOStats(pressure=PRESSURE))
    assert (io.psi.Some.Total, io.psi.Full.Total) == (12345, 7)


def test_of_nothing() -> None:
    """A cgroup that is gone leaves the messages empty."""
    memory, swap = cri.MemoryUsage(), cri.SwapUsage()
    fill_memory(memory, MemoryStats())
    fill_swap(swap, MemoryStats())
    assert (memory, swap) == (cri.MemoryUsage(), cri.SwapUsage())


NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:    1000      10    1    0    0     0          0         0     2000      20    2    0    0     0       0          0
  net1:       3       1    0    0    0     0          0         0        4       1    0    0    0     0       0          0
"""


def test_interfaces() -> None:
    """eth0 is the default one; the loopback is nobody's affair."""
    found = network_usage(net_dev(NET_DEV))
    assert found.timestamp > 0
    default = found.default_interface
    assert (default.name, default.rx_bytes.value, default.rx_errors.value) == ("eth0", 1000, 1)
    assert (default.tx_bytes.value, default.tx_errors.value) == (2000, 2)
    assert [(item.name, item.rx_bytes.value, item.tx_bytes.value) for item in found.interfaces] == [("net1", 3, 4)]


def kernel(cpu: CpuStats, *, version: int = 1) -> Any:
    return SimpleNamespace(
        version=version,
        controllers=frozenset({"pids"}),
        statistics=SimpleNamespace(
            cpu=lambda path, details: cpu,
            memory=lambda path, details: USED,
            pids=lambda path, details: PidsStats(current=3),
            io=lambda path: IOStats(pressure=PRESSURE),
        ),
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What `time_ns` answers; the test moves it."""
    now = [100]
    monkeypatch.setattr(usage, "time", SimpleNamespace(time_ns=lambda: now[0]))
    return now


PSI = cri.PsiStats(Some=cri.PsiData(Avg10=1.5, Avg60=0.25, Total=12345), Full=cri.PsiData(Total=7))


def test_a_pods_cgroup(clock: list[int]) -> None:
    """All that the kernel counts of it, each with its time; what has no place in the CRI, or on this kernel, is left out."""
    found = cri.LinuxPodSandboxStats()
    CgroupUsage(kernel(CpuStats(usage_ns=5, pressure=PRESSURE), version=2)).fill_pod(found, "/a")
    memory = cri.MemoryUsage()
    fill_memory(memory, USED)
    assert found == cri.LinuxPodSandboxStats(
        cpu=cri.CpuUsage(timestamp=100, usage_core_nano_seconds=cri.UInt64Value(value=5), psi=PSI),
        memory=memory,
        io=cri.IoUsage(timestamp=100, psi=PSI),
        process=cri.ProcessUsage(timestamp=100, process_count=cri.UInt64Value(value=3)),
    )
    first = cri.LinuxPodSandboxStats()
    CgroupUsage(kernel(CpuStats(usage_ns=5))).fill_pod(first, "/a")
    assert not first.HasField("io")


def counted(usage_ns: int, path: str, *, details: bool) -> CpuStats:
    return CpuStats(usage_ns=usage_ns)


def test_a_rate(clock: list[int]) -> None:
    """Nanoseconds of CPU a second, from the second time on; of nobody who was forgotten in between."""
    told = []
    machine = kernel(CpuStats())
    figures = CgroupUsage(machine)
    for now, usage_ns, kept in ((100, 5_000, "/a"), (1_000_000_100, 505_000, "/b"), (2_000_000_100, 605_000, "/a")):
        clock[0] = now
        machine.statistics.cpu = functools.partial(counted, usage_ns)
        one = cri.LinuxPodSandboxStats()
        figures.fill_pod(one, "/a")
        told.append(one.cpu.usage_nano_cores.value if one.cpu.HasField("usage_nano_cores") else None)
        figures.keep({kept})
    assert told == [None, 500_000, None]


def test_a_containers_cgroup(clock: list[int]) -> None:
    """With its swap, and with its pressure where the kernel is asked by cgroup v2; what is gone is left out."""
    found, gone, memory = cri.ContainerStats(), cri.ContainerStats(), cri.MemoryUsage()
    CgroupUsage(kernel(CpuStats(usage_ns=5), version=2)).fill_container(found, "/a")
    fill_memory(memory, USED)
    assert found == cri.ContainerStats(
        cpu=cri.CpuUsage(timestamp=100, usage_core_nano_seconds=cri.UInt64Value(value=5)),
        memory=memory,
        swap=cri.SwapUsage(
            timestamp=100,
            swap_usage_bytes=cri.UInt64Value(value=50),
            swap_available_bytes=cri.UInt64Value(value=30),
        ),
        io=cri.IoUsage(timestamp=100, psi=PSI),
    )
    CgroupUsage(kernel(CpuStats())).fill_container(gone, "/a")
    assert not gone.HasField("cpu")
