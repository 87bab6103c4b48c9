"""Pods' cgroups by each cgroup driver: what the kernel holds a pod to is the same, whoever owns the tree."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from components import cannot_be_tested

from nodeagent.cgroups.naming import CgroupfsNaming, SystemdNaming
from nodeagent.cgroups.pod_cgroups import PodCgroups
from nodeagent.cgroups.slices import NoSlices
from nodeagent.cgroups.systemd import SystemdSlices
from runtimes.linux.cgroups.contract import CgroupLimits, Cgroups

pytestmark = pytest.mark.node

MIB = 1 << 20
POD = CgroupLimits(
    cpu_shares=1024, cpu_quota_us=50_000, cpu_period_us=100_000, memory_limit_bytes=64 * MIB, pids_limit=50
)


@pytest.fixture(params=["cgroupfs", "systemd"])
async def pods(request: pytest.FixtureRequest, cgroups: Cgroups) -> AsyncIterator[PodCgroups]:
    systemd = request.param == "systemd"
    if systemd and not Path("/run/systemd/private").exists():
        cannot_be_tested("the systemd cgroup driver (systemd does not run here)")
    found = PodCgroups(
        cgroups,
        naming=SystemdNaming() if systemd else CgroupfsNaming(),
        root=(f"natestdrv{uuid.uuid4().hex[:8]}",),
        slices=SystemdSlices(cgroups.version) if systemd else NoSlices(),
    )
    await found.start(CgroupLimits(memory_limit_bytes=512 * MIB))
    yield found
    await found.remove_all()
    root = str(Path(found.node_path).parent)
    await asyncio.to_thread(cgroups.remove, root)
    assert not any(directory.exists() for directory in cgroups.directories(root))


async def test_a_pod_is_held_to_its_limits(pods: PodCgroups, cgroups: Cgroups) -> None:
    """Made with them, changed while it is there, listed, and gone."""
    path = await pods.ensure("uid-1", "Burstable", POD)
    assert cgroups.exists(path)
    assert await pods.list() == {"uid-1"}
    found = await pods.limits("uid-1", "Burstable")
    assert (found.cpu_quota_us, found.cpu_period_us, found.memory_limit_bytes) == (50_000, 100_000, 64 * MIB)
    assert cgroups.statistics.pids(path).limit == 50
    await pods.apply("uid-1", "Burstable", CgroupLimits(memory_limit_bytes=96 * MIB))
    assert (await pods.limits("uid-1", "Burstable")).memory_limit_bytes == 96 * MIB
    await pods.remove("uid-1")
    assert not cgroups.exists(path)
    assert await pods.list() == frozenset()
