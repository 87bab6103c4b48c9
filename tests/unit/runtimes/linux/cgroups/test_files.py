"""What is written to and read from cgroup files, on trees of plain files."""

import os
from pathlib import Path

import pytest

from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits, CgroupStats
from runtimes.linux.cgroups.units import page_size_name
from runtimes.linux.cgroups.v1 import CgroupsV1
from runtimes.linux.cgroups.v2 import CgroupsV2

LIMITS = CgroupLimits(
    cpu_shares=1024,
    cpu_quota_us=150_000,
    cpu_period_us=100_000,
    memory_limit_bytes=1 << 20,
    pids_limit=10,
    hugetlb_bytes={"2MB": 4 << 20},
    cpuset_cpus="0-1",
    unified={"memory.high": "1000"},
)
NO_LIMITS = CgroupLimits(cpu_quota_us=-1, cpu_period_us=100_000, memory_limit_bytes=-1, pids_limit=-1)


@pytest.fixture
def v1(tmp_path: Path) -> CgroupsV1:
    controllers = ("cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb", "freezer", "name=systemd")
    for name in controllers:
        (tmp_path / name / "p").mkdir(parents=True)
    return CgroupsV1({name: tmp_path / name for name in controllers})


@pytest.fixture
def v2(tmp_path: Path) -> CgroupsV2:
    for directory in (tmp_path, tmp_path / "p"):
        directory.mkdir(exist_ok=True)
        (directory / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
        (directory / "cgroup.subtree_control").write_text("cpu\n")
    (tmp_path / "p/hugetlb.2MB.rsvd.max").write_text("max\n")
    return CgroupsV2(tmp_path)


def contents(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_v1_limits_go_to_their_hierarchies(v1: CgroupsV1, tmp_path: Path) -> None:
    """Each limit is in its controller's file; what only v2 has is left out."""
    v1.apply("/p", LIMITS)
    assert contents(tmp_path) == {
        "cpu/p/cpu.shares": "1024",
        "cpu/p/cpu.cfs_period_us": "100000",
        "cpu/p/cpu.cfs_quota_us": "150000",
        "memory/p/memory.limit_in_bytes": str(1 << 20),
        "pids/p/pids.max": "10",
        "hugetlb/p/hugetlb.2MB.limit_in_bytes": str(4 << 20),
        "cpuset/p/cpuset.cpus": "0-1",
    }


def test_v1_writes_no_limit_as_minus_one(v1: CgroupsV1, tmp_path: Path) -> None:
    """No quota and no memory limit are -1, no pids limit is max."""
    v1.apply("/p", NO_LIMITS)
    assert contents(tmp_path) == {
        "cpu/p/cpu.cfs_period_us": "100000",
        "cpu/p/cpu.cfs_quota_us": "-1",
        "memory/p/memory.limit_in_bytes": "-1",
        "pids/p/pids.max": "max",
    }


def test_v2_limits_go_to_one_directory(v2: CgroupsV2, tmp_path: Path) -> None:
    """Shares become a weight, quota and period one file, huge pages also limit reservations."""
    before = contents(tmp_path)
    v2.apply("/p", LIMITS)
    assert {name: text for name, text in contents(tmp_path).items() if before.get(name) != text} == {
        "p/cpu.weight": "39",
        "p/cpu.max": "150000 100000",
        "p/memory.max": str(1 << 20),
        "p/pids.max": "10",
        "p/hugetlb.2MB.max": str(4 << 20),
        "p/hugetlb.2MB.rsvd.max": str(4 << 20),
        "p/cpuset.cpus": "0-1",
        "p/memory.high": "1000",
    }
    assert v2.huge_page_sizes == ("2MB",)


def test_v2_says_whether_swap_can_be_limited(v2: CgroupsV2, tmp_path: Path) -> None:
    """A kernel without swap accounting has no file for it, wherever it has those of memory."""
    (tmp_path / "other").mkdir()
    (tmp_path / "p/memory.max").write_text("max\n")
    assert not v2.limits_swap
    (tmp_path / "p/memory.swap.max").write_text("max\n")
    assert v2.limits_swap


def test_v2_writes_no_limit_as_max(v2: CgroupsV2, tmp_path: Path) -> None:
    """No quota, memory and pids limit are max."""
    v2.apply("/p", NO_LIMITS)
    found = contents(tmp_path)
    assert [found[f"p/{name}"] for name in ("cpu.max", "memory.max", "pids.max")] == ["max 100000", "max", "max"]


@pytest.mark.parametrize(("shares", "weight"), [(0, "1"), (2, "1"), (1024, "39"), (262144, "10000"), (300000, "10000")])
def test_v2_weights_stay_in_their_range(v2: CgroupsV2, tmp_path: Path, shares: int, weight: str) -> None:
    """Shares beyond what v1 takes get the largest weight that v2 takes."""
    v2.apply("/p", CgroupLimits(cpu_shares=shares))
    assert (tmp_path / "p/cpu.weight").read_text() == weight


def test_v2_delegates_what_is_missing(v2: CgroupsV2, tmp_path: Path) -> None:
    """Creating a child switches on the controllers that its parent does not yet hand down."""
    v2.create("/q")
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpuset +memory +hugetlb +pids +io"


def test_v1_create_fills_a_new_cpuset(v1: CgroupsV1, tmp_path: Path) -> None:
    """A new cpuset takes over its parent's CPUs and memory nodes; one that has its own keeps them."""
    for directory, cpus in (("cpuset", "0-3"), ("cpuset/p", "1")):
        (tmp_path / directory / "cpuset.cpus").write_text(cpus)
        (tmp_path / directory / "cpuset.mems").write_text("0")
    child = tmp_path / "cpuset/p/c"
    child.mkdir()
    for name in ("cpuset.cpus", "cpuset.mems"):
        (child / name).write_text("")
    v1.create("/p/c")
    assert (child / "cpuset.cpus").read_text() == "1"
    assert (child / "cpuset.mems").read_text() == "0"
    assert v1.exists("/p/c")


def test_v1_statistics(v1: CgroupsV1, tmp_path: Path) -> None:
    """Working set is usage without inactive file pages; an unlimited limit is none; OOM kills below count."""
    files = {
        "memory/p/memory.stat": "total_inactive_file 300\ntotal_rss 500\ntotal_pgfault 7\ntotal_pgmajfault 2",
        "memory/p/memory.usage_in_bytes": "1000",
        "memory/p/memory.limit_in_bytes": str((1 << 63) - 4096),
        "memory/p/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1",
        "memory/p/c/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2",
        "cpuacct/p/cpuacct.usage": "123456789",
        "pids/p/pids.current": "3",
        "pids/p/pids.max": "max",
    }
    write(tmp_path, files)
    assert v1.stats("/p") == CgroupStats(
        cpu_usage_ns=123456789,
        memory_usage_bytes=1000,
        memory_working_set_bytes=700,
        memory_rss_bytes=500,
        memory_limit_bytes=None,
        page_faults=7,
        major_page_faults=2,
        pids=3,
        pids_limit=None,
        oom_kills=3,
    )


def test_v2_statistics(v2: CgroupsV2, tmp_path: Path) -> None:
    """The same figures from the unified files."""
    files = {
        "p/memory.stat": "anon 500\ninactive_file 300\npgfault 7\npgmajfault 2",
        "p/memory.current": "1000",
        "p/memory.max": "4096",
        "p/memory.events": "low 0\noom 1\noom_kill 3",
        "p/cpu.stat": "usage_usec 123\nuser_usec 100",
        "p/pids.current": "3",
        "p/pids.max": "10",
    }
    write(tmp_path, files)
    assert v2.stats("/p") == CgroupStats(
        cpu_usage_ns=123000,
        memory_usage_bytes=1000,
        memory_working_set_bytes=700,
        memory_rss_bytes=500,
        memory_limit_bytes=4096,
        page_faults=7,
        major_page_faults=2,
        pids=3,
        pids_limit=10,
        oom_kills=3,
    )


@pytest.mark.parametrize("version", [1, 2])
def test_existence_needs_every_controller(version: int, v1: CgroupsV1, v2: CgroupsV2, tmp_path: Path) -> None:
    """A cgroup that lacks one of the machine's controllers counts as missing, so that it is made again."""
    cgroups = v1 if version == 1 else v2
    assert cgroups.exists("/p")
    assert not cgroups.exists("/q")
    if version == 1:
        os.rmdir(tmp_path / "pids/p")
    else:
        (tmp_path / "p/cgroup.controllers").write_text("cpu memory\n")
    assert not cgroups.exists("/p")


def test_errors_name_cgroup_and_file(v2: CgroupsV2) -> None:
    """A cgroup that is not there is reported by its path and the file that was tried."""
    with pytest.raises(CgroupError, match=r"cannot limit cgroup /gone: .*cgroup.controllers: No such file"):
        v2.apply("/gone", LIMITS)


@pytest.mark.parametrize(("size", "name"), [(64 << 10, "64KB"), (2 << 20, "2MB"), (1 << 30, "1GB")])
def test_page_sizes_are_named_as_in_file_names(size: int, name: str) -> None:
    """The kernel's own units."""
    assert page_size_name(size) == name


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
