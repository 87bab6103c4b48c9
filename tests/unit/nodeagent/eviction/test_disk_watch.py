"""DiskPressure from the file systems' own figures."""

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from nodeagent.config.kubelet import DEFAULT_EVICTION_HARD
from nodeagent.eviction import disk_watch
from nodeagent.eviction.disk_watch import Disk, DiskWatch, is_short, read_disk
from nodeagent.node.capacity import Limits
from nodeagent.node.facts import Machine
from nodeagent.node.state import NodeState

MACHINE = Machine(
    machine_id="m",
    system_uuid="s",
    boot_id="b",
    kernel_version="6.1",
    os_image="Debian",
    architecture="amd64",
    operating_system="linux",
    cpus=1,
    memory_bytes=2**30,
    swap_bytes=0,
    hugepages={},
    max_pids=1000,
)


def disk(available: int = 1000, inodes_free: int = 1000, *, inodes: int = 1000) -> Disk:
    return Disk(size_bytes=1000, available_bytes=available, inodes=inodes, inodes_free=inodes_free)


@pytest.mark.parametrize(
    ("name", "found", "thresholds", "short"),
    [
        ("nodefs", disk(0), DEFAULT_EVICTION_HARD, True),
        ("nodefs", disk(99), DEFAULT_EVICTION_HARD, True),
        ("nodefs", disk(100), DEFAULT_EVICTION_HARD, False),
        ("nodefs", disk(inodes_free=0), DEFAULT_EVICTION_HARD, True),
        ("nodefs", disk(inodes_free=50), DEFAULT_EVICTION_HARD, False),
        ("nodefs", disk(inodes_free=0, inodes=0), DEFAULT_EVICTION_HARD, False),
        ("imagefs", disk(149), DEFAULT_EVICTION_HARD, True),
        ("imagefs", disk(150), DEFAULT_EVICTION_HARD, False),
        ("nodefs", disk(0), {}, False),
        ("nodefs", disk(0), {"imagefs.available": "10%"}, False),
        ("nodefs", disk(0), {"nodefs.available": "0%"}, False),
        ("nodefs", disk(0), {"nodefs.available": "100%"}, False),
        ("nodefs", disk(499), {"nodefs.available": "0.5k"}, True),
        ("nodefs", disk(500), {"nodefs.available": "500"}, False),
        ("nodefs", disk(inodes_free=4), {"nodefs.inodesFree": "5"}, True),
    ],
)
def test_thresholds(name: str, found: Disk, thresholds: dict[str, str], short: bool) -> None:
    """Bytes and inodes, as numbers and as shares; what has no threshold is never short."""
    assert is_short(name, found, thresholds) is short


async def test_the_node_does_not_waver() -> None:
    """True at once, and for the transition period longer than the disk is short; a disk that cannot be read says nothing."""
    found: list[Disk | None] = [disk(), disk(0), disk(), disk(), None, disk()]
    times = [0.0, 10.0, 11.0, 40.0, 41.0, 100.0]
    state = NodeState(MACHINE, Limits(), storage_bytes=None, host_ips=())
    state.set_pressure(pid=True)
    watch = DiskWatch(
        state,
        [("nodefs", Path("/x"))],
        DEFAULT_EVICTION_HARD,
        transition_seconds=30,
        clock=lambda: times.pop(0),
        read=lambda folder: found.pop(0),
    )
    told = []
    for _ in range(6):
        await watch.look()
        told.append(state.pressures)
    short, not_short = ("DiskPressure", "PIDPressure"), ("PIDPressure",)
    assert told == [not_short, short, short, short, not_short, not_short]


async def test_all_file_systems_are_watched() -> None:
    """One that is short is enough, by its own threshold."""
    state = NodeState(MACHINE, Limits(), storage_bytes=None, host_ips=())
    folders = [("nodefs", Path("/n")), ("imagefs", Path("/i"))]
    disks = {Path("/n"): disk(120), Path("/i"): disk(120)}
    await DiskWatch(state, folders, DEFAULT_EVICTION_HARD, transition_seconds=0, read=disks.get).look()
    assert state.pressures == ("DiskPressure",)


async def test_it_looks_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as it runs, with a pause first: the first look is who starts it's."""
    monkeypatch.setattr(disk_watch, "PERIOD_SECONDS", 0.0)
    state = NodeState(MACHINE, Limits(), storage_bytes=None, host_ips=())
    full = disk(0)
    watch = DiskWatch(
        state, [("nodefs", Path("/n"))], DEFAULT_EVICTION_HARD, transition_seconds=0, read=lambda folder: full
    )
    watching = asyncio.create_task(watch.run())
    async with asyncio.timeout(10):
        await state.changed.wait()
        assert state.pressures == ("DiskPressure",)
        state.changed.clear()
        full = disk()
        await state.changed.wait()
    assert state.pressures == ()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def test_the_kernels_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are blocks of the fragment's size, and only what users may take is available."""
    found = SimpleNamespace(
        f_blocks=100, f_frsize=4, f_bsize=4096, f_bavail=20, f_bfree=30, f_files=7, f_favail=2, f_ffree=3
    )
    monkeypatch.setattr(os, "statvfs", lambda folder: found)
    assert read_disk(Path("/")) == Disk(size_bytes=400, available_bytes=80, inodes=7, inodes_free=2)


def test_a_real_file_system(tmp_path: Path) -> None:
    """The figures are the kernel's; a folder that is not there has none."""
    found = read_disk(tmp_path)
    assert found is not None and 0 < found.available_bytes <= found.size_bytes
    assert read_disk(tmp_path / "no") is None
