"""What the node has left, by the kernel's files."""

import asyncio
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from nodeagent.config.eviction import Signal
from nodeagent.eviction import signals
from nodeagent.eviction.signals import Disk, Disks, Folders, MemoryAndPids, Observation, bounds, read_disk
from nodeagent.eviction.thresholds import Layout
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.cgroups.v1 import CgroupsV1
from runtimes.linux.cgroups.v2 import CgroupsV2

NONE_V1 = str(2**63 - 4096)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def v1(root: Path, files: dict[str, str]) -> Cgroups:
    write(root, files)
    return CgroupsV1({name: root / name for name in ("memory", "pids")})


def reader(cgroups: Cgroups, root: Path, cgroup_root: str = "/") -> MemoryAndPids:
    write(root, {"proc/loadavg": "0.1 0.2 0.3 2/150 999"})
    pods = f"{cgroup_root.rstrip('/')}/kubepods"
    return MemoryAndPids(cgroups, root=cgroup_root, pods=pods, memory_bytes=10_000, max_pids=1000, proc=root / "proc")


def left(available: int, capacity: int) -> Observation:
    return Observation(available=available, capacity=capacity)


def test_the_machine(tmp_path: Path) -> None:
    """v1: usage without inactive files, of the root and of all that is below; the pods' against their limit; all tasks."""
    cgroups = v1(
        tmp_path,
        {
            "memory/memory.usage_in_bytes": "4000",
            "memory/memory.limit_in_bytes": NONE_V1,
            "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 1500",
            "memory/kubepods/memory.usage_in_bytes": "3000",
            "memory/kubepods/memory.limit_in_bytes": "8000",
            "memory/kubepods/memory.stat": "total_inactive_file 1000",
        },
    )
    assert reader(cgroups, tmp_path).read() == {
        Signal.MEMORY: left(7500, 10_000),
        Signal.ALLOCATABLE_MEMORY: left(6000, 8000),
        Signal.PIDS: left(850, 1000),
    }


def test_the_machine_on_v2(tmp_path: Path) -> None:
    """The root has no memory.current: what is anonymous and what is of files counts."""
    write(
        tmp_path,
        {
            "cgroup.controllers": "memory pids",
            "memory.stat": "anon 2000\nfile 3000\ninactive_file 1000",
            "kubepods/memory.current": "500",
            "kubepods/memory.max": "max",
            "kubepods/memory.stat": "anon 100\nfile 100\ninactive_file 50",
        },
    )
    found = reader(CgroupsV2(tmp_path), tmp_path).read()
    assert found == {Signal.MEMORY: left(6000, 10_000), Signal.PIDS: left(850, 1000)}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("3000", left(1000, 3000)), (NONE_V1, left(6000, 10_000)), ("20000", left(6000, 10_000)), ("1000", left(0, 1000))],
)
def test_a_bounded_node(tmp_path: Path, limit: str, expected: Observation) -> None:
    """What the pods' bound has is what the node has, wherever above cgroupRoot it is, if it is nearer to its end."""
    cgroups = v1(
        tmp_path,
        {
            "memory/memory.usage_in_bytes": "4000",
            "memory/memory.stat": "total_inactive_file 0",
            "memory/a/memory.usage_in_bytes": "2000",
            "memory/a/memory.limit_in_bytes": limit,
            "memory/a/memory.stat": "total_inactive_file 0",
            "pids/a/b/pids.current": "7",
            "pids/a/b/pids.max": "20",
            "pids/a/pids.current": "9",
            "pids/a/pids.max": "max",
        },
    )
    found = reader(cgroups, tmp_path, "/a/b").read()
    assert found == {Signal.MEMORY: expected, Signal.PIDS: left(13, 20)}


def test_bounds() -> None:
    """From the inside out."""
    assert list(bounds("/a/b")) == ["/a/b", "/a"]
    assert list(bounds("a/")) == ["/a"]
    assert list(bounds("")) == list(bounds("/")) == []


def test_nothing_is_known(tmp_path: Path) -> None:
    """No cgroups, no procfs: no observation, and no error."""
    read = MemoryAndPids(v1(tmp_path, {}), root="/a", pods="/a/k", memory_bytes=1, max_pids=9, proc=tmp_path)
    assert read.read() == {}


FOLDERS = Folders(node=Path("/n"), images=Path("/i"), containers=Path("/i"))


async def test_disks() -> None:
    """Bytes and inodes of each; a file system without inodes has none, one that cannot be read says nothing."""
    known = {Path("/i"): Disk(size_bytes=100, available_bytes=10, inodes=0, inodes_free=0)}
    assert await Disks(known.get).read(FOLDERS) == {Signal.IMAGEFS: left(10, 100), Signal.CONTAINERFS: left(10, 100)}
    known = {Path("/n"): Disk(size_bytes=100, available_bytes=10, inodes=5, inodes_free=0)}
    assert await Disks(known.get).read(FOLDERS) == {Signal.NODEFS: left(10, 100), Signal.NODEFS_INODES: left(0, 5)}


async def test_a_dead_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it, the others are read meanwhile, and it is not asked twice at a time; when it answers, it counts."""
    monkeypatch.setattr(signals, "DISK_SECONDS", 0.001)
    answer, asked = threading.Event(), list[Path]()
    disk = Disk(size_bytes=100, available_bytes=10, inodes=0, inodes_free=0)

    def read(folder: Path) -> Disk:
        asked.append(folder)
        if folder == Path("/i"):
            answer.wait(30)
        return disk

    disks = Disks(read)
    while Signal.NODEFS not in (found := await disks.read(FOLDERS)):
        pass
    assert Signal.IMAGEFS not in found
    assert Signal.IMAGEFS not in await disks.read(FOLDERS)
    assert asked.count(Path("/i")) == 1
    answer.set()
    async with asyncio.timeout(30):
        while Signal.IMAGEFS not in await disks.read(FOLDERS):
            pass


def test_the_kernels_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are blocks of the fragment's size, and only what users may take is available."""
    found = SimpleNamespace(
        f_blocks=100, f_frsize=4, f_bsize=4096, f_bavail=20, f_bfree=30, f_files=7, f_favail=2, f_ffree=3
    )
    monkeypatch.setattr(os, "statvfs", lambda folder: found)
    assert read_disk(Path("/")) == Disk(size_bytes=400, available_bytes=80, inodes=7, inodes_free=2)


def test_a_real_file_system(tmp_path: Path) -> None:
    """The figures are the kernel's; a folder that is not there has none. One file system is one."""
    found = read_disk(tmp_path)
    assert found is not None and 0 < found.available_bytes <= found.size_bytes
    assert read_disk(tmp_path / "no") is None
    assert Folders(node=tmp_path, images=tmp_path, containers=tmp_path).layout() is Layout.SINGLE
    assert Folders(node=tmp_path, images=Path("/proc"), containers=tmp_path).layout() is Layout.SPLIT
