"""What a crash left half made is not taken for a pod's cgroup."""

import os
from pathlib import Path

import pytest

from nodeagent.cgroups.pod_cgroups import PodCgroups
from runtimes.linux.cgroups.contract import CgroupLimits, Cgroups
from runtimes.linux.cgroups.detect import DEFAULT_ROOT

pytestmark = pytest.mark.node

POD = CgroupLimits(cpu_shares=512, memory_limit_bytes=64 << 20, pids_limit=50)


@pytest.mark.parametrize("qos", ["Guaranteed", "Burstable", "BestEffort"])
async def test_a_missing_hierarchy_is_repaired(pods: PodCgroups, cgroups: Cgroups, qos: str) -> None:
    """On v1 a pod's directory that one controller lacks does not count as there; ensure makes it whole, limits and all."""
    if cgroups.version == 2:
        pytest.skip("v2 has one directory for all controllers")
    await pods.start(CgroupLimits())
    path = await pods.ensure("uid-1", qos, POD)
    for lost in ("memory", "pids", "cpu"):
        directory = Path(f"{DEFAULT_ROOT}/{lost}{path}")
        os.rmdir(directory)
        assert not await pods.exists("uid-1", qos)
        assert await pods.list() == {"uid-1"}, "what is left of it is still found, to be removed"
        await pods.ensure("uid-1", qos, POD)
        assert await pods.exists("uid-1", qos)
    root = DEFAULT_ROOT
    assert Path(f"{root}/memory{path}/memory.limit_in_bytes").read_text() == f"{64 << 20}\n"
    assert Path(f"{root}/pids{path}/pids.max").read_text() == "50\n"
    assert Path(f"{root}/cpu{path}/cpu.shares").read_text() == "512\n"
    await pods.remove("uid-1")
    assert await pods.list() == frozenset()
