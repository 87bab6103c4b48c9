"""Figures of a cgroup in the CRI's words."""

from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import IOStats, MemoryStats, Pressure, Stall
from runtimes.oci.statistics import fill_io, fill_memory, fill_swap

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
