"""What a cgroup uses, from files as the kernel writes them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from cgroupspy.controllers import Controller

from runtimes.linux.cgroups.contract import (
    CgroupError,
    CgroupLimits,
    Cgroups,
    CpuStats,
    DeviceStats,
    HugePageStats,
    IOStats,
    MemoryStats,
    PidsStats,
    Pressure,
    Stall,
)
from runtimes.linux.cgroups.v1 import CgroupsV1
from runtimes.linux.cgroups.v2 import CgroupsV2

V1 = {
    "cpuacct/c/cpuacct.usage": "123456789",
    "cpuacct/c/cpuacct.usage_user": "100",
    "cpuacct/c/cpuacct.usage_sys": "50",
    "cpu/c/cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 2500",
    "cpu/c/cpu.shares": "512",
    "cpu/c/cpu.cfs_quota_us": "-1",
    "cpu/c/cpu.cfs_period_us": "100000",
    "memory/c/memory.usage_in_bytes": "1000",
    "memory/c/memory.memsw.usage_in_bytes": "1500",
    "memory/c/memory.max_usage_in_bytes": "2000",
    "memory/c/memory.limit_in_bytes": "5000",
    "memory/c/memory.soft_limit_in_bytes": "9223372036854771712",
    "memory/c/memory.memsw.limit_in_bytes": "6000",
    "memory/c/memory.failcnt": "3",
    "memory/c/memory.kmem.usage_in_bytes": "77",
    "memory/c/memory.stat": "inactive_file 1\npgfault 5\npgmajfault 1\ntotal_inactive_file 300\ntotal_active_file 20\n"
    "total_rss 400\ntotal_cache 500\ntotal_mapped_file 30\ntotal_pgfault 7\ntotal_pgmajfault 2",
    "memory/c/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2",
    "memory/c/d/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5",
    "pids/c/pids.current": "3",
    "pids/c/pids.max": "max",
    "blkio/c/blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\nTotal 12288",
    "blkio/c/blkio.throttle.io_serviced_recursive": "8:0 Read 1\n8:0 Total 3\nTotal 3",
    "hugetlb/c/hugetlb.2MB.usage_in_bytes": "0",
    "hugetlb/c/hugetlb.2MB.max_usage_in_bytes": "2097152",
}
STALLED = "some avg10=1.50 avg60=0.25 avg300=0.00 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7"
V2 = {
    "c/cgroup.controllers": "cpu memory io pids hugetlb",
    "c/cpu.stat": "usage_usec 123456\nuser_usec 100\nsystem_usec 50\nnr_periods 10\nnr_throttled 4\nthrottled_usec 25",
    "c/cpu.weight": "20",
    "c/cpu.max": "max 100000",
    "c/memory.current": "1000",
    "c/memory.peak": "2000",
    "c/memory.max": "5000",
    "c/memory.low": "max",
    "c/memory.swap.current": "50",
    "c/memory.swap.max": "80",
    "c/memory.events": "low 0\nhigh 0\nmax 3\noom 5\noom_kill 4\noom_group_kill 1",
    "c/memory.stat": "anon 400\nfile 500\nkernel 77\nfile_mapped 30\nactive_file 20\ninactive_file 300\npgfault 7\npgmajfault 2",
    "c/memory.pressure": STALLED,
    "c/pids.current": "3",
    "c/pids.max": "20",
    "c/io.stat": "8:0 rbytes=4096 wbytes=8192 rios=1 dbytes=0 dios=0\n0:5 ",
    "c/hugetlb.2MB.current": "4096",
}
PRESSURE = Pressure(
    some=Stall(average_10s=1.5, average_60s=0.25, average_300s=0, total_us=12345),
    full=Stall(average_10s=0, average_60s=0, average_300s=0, total_us=7),
)


@pytest.fixture
def v1(tmp_path: Path) -> CgroupsV1:
    write(tmp_path, V1)
    return CgroupsV1({name: tmp_path / name for name in dict.fromkeys(name.partition("/")[0] for name in V1)})


@pytest.fixture
def v2(tmp_path: Path) -> CgroupsV2:
    write(tmp_path, V2)
    (tmp_path / "cgroup.controllers").write_text("cpu memory io pids hugetlb\n")
    return CgroupsV2(tmp_path)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")


def test_v1(v1: CgroupsV1) -> None:
    """Every figure, from the file that has it; what only v2 counts is not there."""
    found = v1.statistics
    assert found.cpu("/c") == CpuStats(
        usage_ns=123456789, user_ns=100, system_ns=50, periods=10, throttled_periods=4, throttled_ns=2500
    )
    assert found.memory("/c") == MemoryStats(
        usage_bytes=1000,
        working_set_bytes=700,
        peak_bytes=2000,
        limit_bytes=5000,
        limit_hits=3,
        rss_bytes=400,
        cache_bytes=500,
        mapped_file_bytes=30,
        active_file_bytes=20,
        inactive_file_bytes=300,
        kernel_bytes=77,
        swap_bytes=500,
        page_faults=7,
        major_page_faults=2,
        own_page_faults=5,
        own_major_page_faults=1,
    )
    assert found.io("/c") == IOStats(devices={"8:0": DeviceStats(read_bytes=4096, written_bytes=8192, reads=1)})
    assert found.pids("/c") == PidsStats(current=3, limit=-1)
    assert found.huge_pages("/c", "2MB") == HugePageStats(usage_bytes=0, peak_bytes=2097152)
    assert (found.oom_kills("/c"), v1.stats("/c").oom_kills) == (2, 7), "one cgroup alone; with all below it"


def test_v2(v2: CgroupsV2) -> None:
    """The same figures under their other names, and the pressure."""
    found = v2.statistics
    assert found.cpu("/c") == CpuStats(
        usage_ns=123456000, user_ns=100_000, system_ns=50_000, periods=10, throttled_periods=4, throttled_ns=25_000
    )
    assert found.memory("/c") == MemoryStats(
        usage_bytes=1000,
        working_set_bytes=700,
        peak_bytes=2000,
        limit_bytes=5000,
        limit_hits=3,
        rss_bytes=400,
        cache_bytes=500,
        mapped_file_bytes=30,
        active_file_bytes=20,
        inactive_file_bytes=300,
        kernel_bytes=77,
        swap_bytes=50,
        swap_limit_bytes=80,
        page_faults=7,
        major_page_faults=2,
        pressure=PRESSURE,
    )
    assert found.io("/c") == IOStats(devices={"8:0": DeviceStats(read_bytes=4096, written_bytes=8192, reads=1)})
    assert found.pids("/c") == PidsStats(current=3, limit=20)
    assert found.huge_pages("/c", "2MB") == HugePageStats(usage_bytes=4096)
    assert (found.oom_kills("/c"), v2.stats("/c").oom_kills) == (4, 4)


@pytest.mark.parametrize(
    ("version", "files"),
    [
        (
            1,
            {
                *("cpuacct.usage", "memory.usage_in_bytes", "memory.memsw.usage_in_bytes"),
                *("memory.stat", "memory.limit_in_bytes"),
            },
        ),
        (
            2,
            {
                *("cpu.stat", "cpu.pressure", "memory.current", "memory.stat", "memory.pressure"),
                *("memory.max", "memory.swap.current", "memory.swap.max"),
            },
        ),
    ],
)
def test_without_details(
    version: int, files: set[str], v1: CgroupsV1, v2: CgroupsV2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of what few ask for stay unread; all other figures are the same."""
    cgroups: Cgroups = v1 if version == 1 else v2
    whole_cpu, whole_memory = cgroups.statistics.cpu("/c"), cgroups.statistics.memory("/c")
    opened: list[str] = []
    really_open = os.open

    def noted(path: bytes, flags: int) -> int:
        opened.append(Path(os.fsdecode(path)).name)
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", noted)
    cpu, memory = cgroups.statistics.cpu("/c", details=False), cgroups.statistics.memory("/c", details=False)
    assert (set(opened), len(opened)) == (files, len(files)), "each once"
    kernel_bytes = None if version == 1 else whole_memory.kernel_bytes
    assert memory == replace(whole_memory, peak_bytes=None, limit_hits=None, kernel_bytes=kernel_bytes)
    assert cpu == (CpuStats(usage_ns=whole_cpu.usage_ns) if version == 1 else whole_cpu)
    opened.clear()
    assert (cgroups.statistics.pids("/c", details=False), opened) == (PidsStats(current=3), ["pids.current"])


@pytest.mark.parametrize("version", [1, 2])
def test_of_nothing(version: int, v1: CgroupsV1, v2: CgroupsV2) -> None:
    """A cgroup that is gone has no figures; who wants them all at once, or its limits, is told."""
    cgroups: Cgroups = v1 if version == 1 else v2
    found = cgroups.statistics
    assert (found.cpu("/x"), found.memory("/x"), found.io("/x")) == (CpuStats(), MemoryStats(), IOStats())
    assert (found.pids("/x"), found.huge_pages("/x", "2MB"), found.oom_kills("/x")) == (PidsStats(), HugePageStats(), 0)
    with pytest.raises(CgroupError, match="cannot read cgroup /x"):
        cgroups.stats("/x")
    with pytest.raises(CgroupError, match="cannot read cgroup /x"):
        cgroups.limits("/x")


def test_limits_in_force(v1: CgroupsV1, v2: CgroupsV2) -> None:
    """-1 where there is none, in the same units: v2's swap alone becomes memory and swap together."""
    in_force = CgroupLimits(
        cpu_quota_us=-1, cpu_period_us=100_000, memory_limit_bytes=5000, memory_reservation_bytes=-1, cpu_shares=512
    )
    assert v1.limits("/c") == with_swap(in_force, 6000)
    assert v2.limits("/c") == with_swap(in_force, 5080, cpu_shares=500)


def with_swap(limits: CgroupLimits, swap_bytes: int, cpu_shares: int = 512) -> CgroupLimits:
    return CgroupLimits(
        cpu_shares=cpu_shares,
        cpu_quota_us=limits.cpu_quota_us,
        cpu_period_us=limits.cpu_period_us,
        memory_limit_bytes=limits.memory_limit_bytes,
        memory_reservation_bytes=limits.memory_reservation_bytes,
        memory_swap_limit_bytes=swap_bytes,
    )


@pytest.mark.parametrize(
    ("limit", "both", "order"), [(7000, 7000, "both limit"), (500, 600, "limit both"), (9, -1, "both limit")]
)
def test_v1_memory_with_swap_is_never_less_than_memory(
    v1: CgroupsV1, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, both: int, order: str
) -> None:
    """The kernel refuses that even for a moment: a sum that grows goes ahead, one that shrinks follows."""
    written: list[str] = []
    original = Controller.set_property

    def record(controller: Controller, name: bytes, value: object) -> int:
        written.append({b"memory.limit_in_bytes": "limit", b"memory.memsw.limit_in_bytes": "both"}[name])
        return original(controller, name, value)

    monkeypatch.setattr(Controller, "set_property", record)
    v1.apply("/c", CgroupLimits(memory_limit_bytes=limit, memory_swap_limit_bytes=both))
    assert " ".join(written) == order
    folder = tmp_path / "memory/c"
    assert (folder / "memory.limit_in_bytes").read_text() == str(limit)
    assert (folder / "memory.memsw.limit_in_bytes").read_text() == str(both)


def test_v2_swap_is_what_exceeds_memory(v2: CgroupsV2, tmp_path: Path) -> None:
    """Memory and swap together, less the memory; -1 is no limit; what reclaim leaves alone is memory.low."""
    v2.apply("/c", CgroupLimits(memory_limit_bytes=500, memory_swap_limit_bytes=600, memory_reservation_bytes=50))
    assert {name: (tmp_path / "c" / name).read_text() for name in ("memory.max", "memory.swap.max", "memory.low")} == {
        "memory.max": "500",
        "memory.swap.max": "100",
        "memory.low": "50",
    }
    v2.apply("/c", CgroupLimits(memory_swap_limit_bytes=-1))
    assert (tmp_path / "c/memory.swap.max").read_text() == "max"


def test_v2_files_are_files_of_the_cgroup(v2: CgroupsV2) -> None:
    """A name that leads elsewhere is refused: what a pod's author writes there comes from outside."""
    with pytest.raises(CgroupError, match="is no file of a cgroup"):
        v2.apply("/c", CgroupLimits(unified={"../memory.max": "1"}))
