"""The OCI engine with runc and crun on a kernel whose only hierarchy is cgroup v2. test_agent_on_v2.py boots it and runs this.

The subject is that of the runtimes' conformance suite, below pod cgroups made by the agent's own manager.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from built_in_runtimes import oci

from nodeagent.cgroups.pod_cgroups import PodCgroups
from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import CgroupLimits
from runtimes.linux.cgroups.detect import DEFAULT_ROOT
from runtimes.testing.fixtures import image_archive, image_store
from runtimes.testing.implementation import started

pytestmark = pytest.mark.node

MIB = 1 << 20
POD = CgroupLimits(
    cpu_shares=512, cpu_quota_us=80_000, cpu_period_us=100_000, memory_limit_bytes=128 * MIB, pids_limit=60
)


__all__ = ["image_archive", "image_store"]


@pytest.fixture(params=["crun", "runc"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path, image_store: Path) -> AsyncIterator[Any]:
    """The engine, started. The kernel and all its files are gone when the test run is: only processes are looked for."""
    async with started(oci(request.param), tmp_path, image_store) as made:
        yield made


@pytest.fixture
async def pod(subject: Any, pods: PodCgroups) -> Any:
    """A sandbox below a pod cgroup of the agent's."""
    await pods.start(CgroupLimits(memory_limit_bytes=512 * MIB))
    config = subject.sandbox_config()
    config.linux.cgroup_parent = await pods.ensure(config.metadata.uid, "Burstable", POD)
    return await subject.run_sandbox(config)


def files(cgroup: str, *names: str) -> dict[str, str]:
    """Files of a cgroup by name."""
    return {name: Path(f"{DEFAULT_ROOT}{cgroup}/{name}").read_text().strip() for name in names}


async def test_limits_of_pod_and_container(subject: Any, pod: Any) -> None:
    """Both have theirs in the kernel's files; the container sees its own, and exec runs below it too."""
    config = subject.container_config()
    wanted = config.linux.resources
    wanted.cpu_shares, wanted.cpu_quota, wanted.cpu_period = 512, 50_000, 100_000
    wanted.memory_limit_in_bytes = 64 * MIB
    wanted.unified["pids.max"] = "20"
    wanted.unified["memory.oom.group"] = "1"
    container_id = await subject.launch(pod, config)
    parent = pod[1].linux.cgroup_parent
    assert files(parent, "memory.max", "cpu.max", "pids.max", "cpu.weight") == {
        "memory.max": str(128 * MIB),
        "cpu.max": "80000 100000",
        "pids.max": "60",
        "cpu.weight": "20",
    }
    cgroup = f"{parent}/{container_id}"
    found = files(cgroup, "memory.max", "cpu.max", "pids.max", "memory.oom.group", "cpu.weight")
    assert 1 < int(found.pop("cpu.weight")) < 100
    assert found == {
        "memory.max": str(64 * MIB),
        "cpu.max": "50000 100000",
        "pids.max": "20",
        "memory.oom.group": "1",
    }
    assert await subject.sh(container_id, "echo from exec; cat /proc/self/cgroup") == "from exec\n0::/\n"
    pid = Path(f"{DEFAULT_ROOT}{cgroup}/cgroup.procs").read_text().split()
    assert len(pid) == 1
    await subject.service.update_container_resources(
        cri.UpdateContainerResourcesRequest(
            container_id=container_id, linux=cri.LinuxContainerResources(memory_limit_in_bytes=96 * MIB)
        )
    )
    assert files(cgroup, "memory.max", "cpu.max") == {"memory.max": str(96 * MIB), "cpu.max": "50000 100000"}


async def test_out_of_memory(subject: Any, pod: Any, pods: PodCgroups) -> None:
    """A container beyond its own limit is OOMKilled with 137; one beyond the pod's is killed as well; others go on."""
    neighbour = await subject.launch(pod, subject.container_config(name="neighbour"))
    config = subject.container_config("exec tail /dev/zero", name="own-limit")
    config.linux.resources.memory_limit_in_bytes = 20 * MIB
    status, _ = await subject.run_in(pod, config)
    assert (status.exit_code, status.reason) == (137, "OOMKilled")
    status, _ = await subject.run_in(pod, subject.container_config("exec tail /dev/zero", name="pod-limit"))
    assert (status.exit_code, status.reason) == (137, "OOMKilled")
    assert (await subject.status(neighbour)).state == cri.CONTAINER_RUNNING


async def test_nothing_is_left_of_a_removed_pod(subject: Any, pod: Any, pods: PodCgroups) -> None:
    """Sandbox and containers gone, the pod's cgroup can be removed, and with it everything below."""
    container_id = await subject.launch(pod, subject.container_config())
    parent = pod[1].linux.cgroup_parent
    assert (DEFAULT_ROOT / parent[1:] / container_id).is_dir()
    stats = (await subject.service.container_stats(cri.ContainerStatsRequest(container_id=container_id))).stats
    assert stats.memory.usage_bytes.value > 0
    await subject.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod[0]))
    await subject.service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=pod[0]))
    assert not (DEFAULT_ROOT / parent[1:] / container_id).exists()
    await pods.remove(pod[1].metadata.uid)
    assert not (DEFAULT_ROOT / parent[1:]).exists()
    assert await pods.list() == frozenset()
