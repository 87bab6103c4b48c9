"""Figures of a cgroup, from files as the kernel writes them (v1 and v2)."""

import os
from pathlib import Path

import pytest

from runtimes.cgroup_metrics import CgroupMetrics, OpenDescriptors, device_name, fill_ulimits
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.cgroups.v1 import CgroupsV1
from runtimes.linux.cgroups.v2 import CgroupsV2
from runtimes.metrics import LABELS, Row

HOME = os.makedev(7, 98)
V1 = {
    "cpuacct/cpuacct.usage": "3900000000",
    "cpuacct/cpuacct.usage_user": "2900000000",
    "cpuacct/cpuacct.usage_sys": "1000000000",
    "cpu/cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 2500000000\nnr_bursts 2\nburst_time 1000000000\n",
    "cpu/cpu.cfs_period_us": "50000",
    "cpu/cpu.cfs_quota_us": "25000",
    "cpu/cpu.shares": "512",
    "memory/memory.usage_in_bytes": "5000",
    "memory/memory.memsw.usage_in_bytes": "5600",
    "memory/memory.max_usage_in_bytes": "9000",
    "memory/memory.limit_in_bytes": "9223372036854771712",
    "memory/memory.memsw.limit_in_bytes": "20000",
    "memory/memory.soft_limit_in_bytes": "9223372036854771712",
    "memory/memory.failcnt": "3",
    "memory/memory.kmem.usage_in_bytes": "77",
    "memory/memory.stat": "pgfault 5\npgmajfault 1\ntotal_cache 1000\ntotal_rss 2000\ntotal_mapped_file 300\n"
    "total_active_file 400\ntotal_inactive_file 500\ntotal_pgfault 6\ntotal_pgmajfault 2\n",
    "blkio/blkio.throttle.io_service_bytes_recursive": "7:99 Read 4096\n7:99 Write 8192\n7:99 Total 12288\nTotal 12288\n",
    "blkio/blkio.throttle.io_serviced_recursive": "7:99 Read 1\n7:99 Write 2\nTotal 3\n",
    "pids/pids.current": "6",
    "pids/pids.max": "max",
    "hugetlb/hugetlb.2MB.usage_in_bytes": "0",
    "hugetlb/hugetlb.2MB.max_usage_in_bytes": "2097152",
}
V2 = {
    "cpu.stat": "usage_usec 3900000\nuser_usec 2900000\nsystem_usec 1000000\nnr_periods 10\nnr_throttled 4\n"
    "throttled_usec 2500000\nnr_bursts 2\nburst_usec 1000000\n",
    "cpu.max": "25000 50000",
    "cpu.weight": "20",
    "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=7000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "memory.current": "5000",
    "memory.peak": "9000",
    "memory.max": "max",
    "memory.low": "4096",
    "memory.swap.current": "600",
    "memory.swap.max": "max",
    "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n",
    "memory.stat": "anon 2000\nfile 1000\nkernel 77\nfile_mapped 300\nactive_file 400\ninactive_file 500\npgfault 6\n"
    "pgmajfault 2\n",
    "io.stat": "7:99 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n0:5 \n",
    "pids.current": "6",
    "pids.max": "20",
}
BOTH = {
    ("cpu_usage_seconds_total", "total"): 3,
    ("cpu_user_seconds_total",): 2,
    ("cpu_system_seconds_total",): 1,
    ("cpu_cfs_periods_total",): 10,
    ("cpu_cfs_throttled_periods_total",): 4,
    ("cpu_cfs_throttled_seconds_total",): 2,
    ("cpu_cfs_burst_periods_total",): 2,
    ("cpu_cfs_burst_seconds_total",): 1,
    ("memory_usage_bytes",): 5000,
    ("memory_working_set_bytes",): 4500,
    ("memory_max_usage_bytes",): 9000,
    ("memory_rss",): 2000,
    ("memory_cache",): 1000,
    ("memory_mapped_file",): 300,
    ("memory_total_active_file_bytes",): 400,
    ("memory_total_inactive_file_bytes",): 500,
    ("memory_swap",): 600,
    ("memory_kernel_usage",): 77,
    ("memory_failcnt",): 3,
    ("memory_failures_total", "pgfault", "hierarchy"): 6,
    ("memory_failures_total", "pgmajfault", "hierarchy"): 2,
    ("fs_reads_bytes_total", "7:99"): 4096,
    ("fs_writes_bytes_total", "7:99"): 8192,
    ("fs_reads_total", "7:99"): 1,
    ("fs_writes_total", "7:99"): 2,
    ("blkio_device_usage_total", "7:99", "7", "99", "Read"): 4096,
    ("blkio_device_usage_total", "7:99", "7", "99", "Write"): 8192,
    ("processes",): 0,
    ("threads",): 6,
    ("file_descriptors",): 0,
    ("sockets",): 0,
    ("spec_cpu_period",): 50000,
    ("spec_cpu_quota",): 25000,
    ("spec_memory_limit_bytes",): 0,
}


def cgroups(root: Path, files: dict[str, str]) -> Cgroups:
    """A hierarchy for each first part of a name, or one for all, with those files in the cgroup /pod."""
    unified = "cpu.stat" in files
    for name, text in files.items():
        controller, _, file = name.rpartition("/")
        for folder in (root / controller, root / controller / "pod"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
    if unified:
        for folder in (root, root / "pod"):
            (folder / "cgroup.controllers").write_text("cpu io memory pids\n")
        return CgroupsV2(root)
    return CgroupsV1({name.partition("/")[0]: root / name.partition("/")[0] for name in files})


def told(figures: CgroupMetrics) -> dict[tuple[str, ...], int]:
    row = Row(("",) * len(LABELS), 1)
    figures.fill(row)
    return values(row)


def values(row: Row) -> dict[tuple[str, ...], int]:
    return {
        (item.name.removeprefix("container_"), *item.label_values[len(LABELS) :]): item.value.value
        for item in row.metrics
    }


def test_cgroup_v1(tmp_path: Path) -> None:
    """Every figure, from the file that has it."""
    figures = CgroupMetrics(cgroups(tmp_path, V1), "/pod", HOME)
    assert told(figures) == BOTH | {
        ("memory_failures_total", "pgfault", "container"): 5,
        ("memory_failures_total", "pgmajfault", "container"): 1,
        ("hugetlb_usage_bytes", "2MB"): 0,
        ("hugetlb_max_usage_bytes", "2MB"): 2097152,
        ("threads_max",): 0,
        ("spec_cpu_shares",): 512,
        ("spec_memory_reservation_limit_bytes",): 0,
        ("spec_memory_swap_limit_bytes",): 20000,
    }


def test_cgroup_v2(tmp_path: Path) -> None:
    """The same figures under their other names, and the pressure."""
    figures = CgroupMetrics(cgroups(tmp_path, V2), "/pod", HOME)
    assert told(figures) == BOTH | {
        ("threads_max",): 20,
        ("pressure_cpu_waiting_seconds_total",): 7,
        ("pressure_cpu_stalled_seconds_total",): 0,
        ("spec_cpu_shares",): 500,
        ("spec_memory_reservation_limit_bytes",): 4096,
        ("spec_memory_swap_limit_bytes",): 0,
    }


@pytest.mark.parametrize("files", [V1, V2], ids=["v1", "v2"])
def test_a_cgroup_that_is_gone(tmp_path: Path, files: dict[str, str]) -> None:
    """Nothing is told but that there is nobody, and nothing that limits them."""
    found = told(CgroupMetrics(cgroups(tmp_path, files), "/other", HOME))
    names = {name[0] for name in found if not name[0].startswith("spec_")}
    assert names == {"processes", "file_descriptors", "sockets"}
    assert {value for name, value in found.items() if name != ("spec_cpu_period",)} == {0}


@pytest.mark.parametrize("quota", ["cpu/cpu.cfs_quota_us", "cpu.max"])
def test_no_quota(tmp_path: Path, quota: str) -> None:
    """How often a quota held processes back is told of those that have one."""
    files = V1 | {quota: "-1"} if quota in V1 else V2 | {quota: "max 50000"}
    found = told(CgroupMetrics(cgroups(tmp_path, files), "/pod"))
    assert not [name for name in found if "cfs" in name[0] or name[0] == "spec_cpu_quota"]


def test_a_process_in_several_cgroups() -> None:
    """Its open files are counted once, and told for each of them."""
    own = os.getpid()
    counted = OpenDescriptors()
    first = counted.of([own])
    with open("/dev/null"):
        assert counted.of([own]) == first
        assert OpenDescriptors().of([own])[0] > first[0]
    assert counted.of([own, 1 << 30]) == first


def test_devices_that_were_never_used(tmp_path: Path) -> None:
    """The kernel does not name them; the one with the containers' files counts from 0."""
    found = told(CgroupMetrics(cgroups(tmp_path, V2 | {"io.stat": ""}), "/pod", HOME))
    names = ("fs_reads_bytes_total", "fs_writes_bytes_total", "fs_reads_total", "fs_writes_total")
    assert {key: value for key, value in found.items() if key[0] in names} == {(name, "7:98"): 0 for name in names}
    moved = {key: value for key, value in found.items() if key[0] == "blkio_device_usage_total"}
    assert moved == {("blkio_device_usage_total", "7:98", "7", "98", what): 0 for what in ("Read", "Write")}


def test_limits_of_a_process() -> None:
    """Those that are limits, under their names in /proc."""
    row = Row(("",) * len(LABELS), 1)
    fill_ulimits(row, os.getpid())
    found = values(row)
    assert found[("ulimits_soft", "max_open_files")] > 0
    assert all(name == "ulimits_soft" for name, _ in found)


def test_device_names() -> None:
    """The number where there is no name."""
    assert device_name(os.makedev(7, 99)) == "7:99"
