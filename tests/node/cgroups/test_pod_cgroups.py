"""Pod cgroups on this machine's kernel; the same file runs under pure cgroup v2 inside User-Mode Linux."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from nodeagent.cgroups.pod_cgroups import PodCgroups
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits, Cgroups
from runtimes.linux.cgroups.detect import DEFAULT_ROOT, detect

pytestmark = pytest.mark.node

NODE = CgroupLimits(cpu_shares=2048, memory_limit_bytes=1 << 30, pids_limit=1000)
POD = CgroupLimits(
    cpu_shares=512, cpu_quota_us=50_000, cpu_period_us=100_000, memory_limit_bytes=64 << 20, pids_limit=50
)


def read(cgroups: Cgroups, controller: str, path: str, v1: str, v2: str) -> str:
    """One file of a cgroup, whatever the version."""
    if cgroups.version == 2:
        return Path(f"{DEFAULT_ROOT}{path}/{v2}").read_text().strip()
    return Path(f"{DEFAULT_ROOT}/{controller}{path}/{v1}").read_text().strip()


def join(cgroups: Cgroups, path: str, pid: int) -> None:
    controllers = [""] if cgroups.version == 2 else ["cpu", "memory", "pids", "cpuset", "freezer"]
    for controller in controllers:
        Path(f"{DEFAULT_ROOT}/{controller}{path}/cgroup.procs").write_text(str(pid))


async def test_node_and_qos_cgroups(pods: PodCgroups, cgroups: Cgroups) -> None:
    """start makes kubepods with the node's limits and its two classes with minimal shares, again and again."""
    await pods.start(NODE)
    await pods.start(NODE)
    path = pods.node_path
    assert cgroups.children(path) == ("besteffort", "burstable")
    assert read(cgroups, "memory", path, "memory.limit_in_bytes", "memory.max") == str(1 << 30)
    assert read(cgroups, "pids", path, "pids.max", "pids.max") == "1000"
    assert read(cgroups, "cpu", path, "cpu.shares", "cpu.weight") == ("79" if cgroups.version == 2 else "2048")
    assert read(cgroups, "cpu", f"{path}/besteffort", "cpu.shares", "cpu.weight") in ("2", "1")


async def test_limits_that_are_no_longer_enforced_go(pods: PodCgroups, cgroups: Cgroups) -> None:
    """-1 takes back what an agent before has written."""
    await pods.start(NODE)
    await pods.start(CgroupLimits(cpu_shares=2048, memory_limit_bytes=-1, pids_limit=-1))
    memory = read(cgroups, "memory", pods.node_path, "memory.limit_in_bytes", "memory.max")
    assert memory == "max" or int(memory) > 1 << 60
    assert read(cgroups, "pids", pods.node_path, "pids.max", "pids.max") == "max"


async def test_cgroups_of_others_are_limited_where_they_exist(pods: PodCgroups, cgroups: Cgroups) -> None:
    """enforceNodeAllocatable for the system's own cgroup: the limits reach the kernel; one that is not there is an error."""
    await pods.start(NODE)
    system = f"{pods.node_path}/system"
    with pytest.raises(CgroupError, match=f"^cgroup {system} does not exist$"):
        await pods.limit_existing(system, POD)
    await asyncio.to_thread(cgroups.create, system)
    await pods.limit_existing(system, POD)
    assert read(cgroups, "memory", system, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert read(cgroups, "pids", system, "pids.max", "pids.max") == "50"


async def test_pod_limits_reach_the_kernel(pods: PodCgroups, cgroups: Cgroups) -> None:
    """ensure writes shares, quota, memory and pids, and answers the cgroup parent of the CRI."""
    await pods.start(NODE)
    path = await pods.ensure("uid-1", "Burstable", POD)
    assert path == f"{pods.node_path}/burstable/poduid-1"
    v2 = cgroups.version == 2
    assert read(cgroups, "cpu", path, "cpu.shares", "cpu.weight") == ("20" if v2 else "512")
    assert read(cgroups, "cpu", path, "cpu.cfs_quota_us", "cpu.max") == ("50000 100000" if v2 else "50000")
    assert read(cgroups, "memory", path, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert read(cgroups, "pids", path, "pids.max", "pids.max") == "50"
    assert await pods.exists("uid-1", "Burstable")
    assert await pods.list() == {"uid-1"}
    await pods.remove("uid-1")
    assert await pods.list() == frozenset()


async def test_ensure_leaves_a_live_pod_alone_and_apply_changes_it(pods: PodCgroups, cgroups: Cgroups) -> None:
    """Limits are written at creation only; a resize goes through apply, upwards and downwards."""
    await pods.start(NODE)
    path = await pods.ensure("uid-1", "Guaranteed", POD)
    await pods.ensure("uid-1", "Guaranteed", CgroupLimits(pids_limit=7))
    assert read(cgroups, "pids", path, "pids.max", "pids.max") == "50"
    await pods.apply(
        "uid-1",
        "Guaranteed",
        CgroupLimits(cpu_quota_us=-1, cpu_period_us=100_000, memory_limit_bytes=128 << 20, pids_limit=-1),
    )
    assert read(cgroups, "pids", path, "pids.max", "pids.max") == "max"
    assert read(cgroups, "memory", path, "memory.limit_in_bytes", "memory.max") == str(128 << 20)
    assert read(cgroups, "cpu", path, "cpu.cfs_quota_us", "cpu.max") == ("max 100000" if cgroups.version == 2 else "-1")


async def test_processes_are_killed_on_removal(
    pods: PodCgroups, cgroups: Cgroups, sleeper: "subprocess.Popen[bytes]"
) -> None:
    """remove kills what still runs in the pod, below a container's cgroup too, and then nothing of it is left."""
    await pods.start(NODE)
    path = await pods.ensure("uid-1", "BestEffort", POD)
    container = f"{path}/container-1"
    cgroups.create(container)
    join(cgroups, container, sleeper.pid)
    assert cgroups.processes(path) == {sleeper.pid}
    stats = cgroups.stats(path)
    assert (stats.pids, stats.pids_limit, stats.memory_limit_bytes, stats.oom_kills) == (1, 50, 64 << 20, 0)
    await pods.remove("uid-1")
    assert sleeper.wait(timeout=10) == -9
    assert await pods.list() == frozenset()
    await pods.remove("uid-1")


async def test_burstable_shares_follow_requests(pods: PodCgroups, cgroups: Cgroups) -> None:
    """The Burstable class gets the shares it is told, never fewer than 2."""
    await pods.start(NODE)
    path = f"{pods.node_path}/burstable"
    await pods.set_class_limits(1024, None)
    assert read(cgroups, "cpu", path, "cpu.shares", "cpu.weight") == ("39" if cgroups.version == 2 else "1024")
    await pods.set_class_limits(0, None)
    assert read(cgroups, "cpu", path, "cpu.shares", "cpu.weight") in ("2", "1")


async def test_memory_limit_kills_and_is_counted(pods: PodCgroups, cgroups: Cgroups) -> None:
    """A process that takes more than the pod's limit is killed by the kernel, and the statistics count it."""
    await pods.start(NODE)
    limits = CgroupLimits(memory_limit_bytes=16 << 20)
    path = await pods.ensure("uid-1", "Guaranteed", limits)
    script = "import sys; sys.stdin.readline(); data = bytearray(64 << 20); data[::4096] = b'x' * len(data[::4096])"
    eater = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdin=subprocess.PIPE)
    join(cgroups, path, eater.pid)
    await eater.communicate(b"\n")
    assert eater.returncode == -9
    assert cgroups.stats(path).oom_kills == 1


def test_a_limit_that_the_kernel_refuses_names_the_cgroup(cgroups: Cgroups, root_name: str) -> None:
    """What cannot be written is an error with the cgroup's path, and the cgroup can still be removed."""
    cgroups.create(f"/{root_name}")
    with pytest.raises(CgroupError, match=f"cannot limit cgroup /{root_name}"):
        cgroups.apply(f"/{root_name}", CgroupLimits(cpu_quota_us=1, cpu_period_us=1))
    assert cgroups.remove(f"/{root_name}")
    assert not cgroups.exists(f"/{root_name}")


def test_detection_matches_the_machine() -> None:
    """The version is what is mounted at the root, and the controllers that pods need are there."""
    found = detect()
    unified = (DEFAULT_ROOT / "cgroup.controllers").exists()
    assert found.version == (2 if unified else 1)
    assert found.controllers >= {"cpu", "cpuset", "memory", "pids"} - ({"cpuset"} if unified else set())
