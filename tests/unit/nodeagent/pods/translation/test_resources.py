"""From requests and limits to what cgroups and runtimes get: docs/facts/node-resources.md 2.2, 2.3, 2.5.

The last also docs/facts/pod-lifecycle.md 11.7.
"""

from typing import Any

import pytest
from pod_builders import pod, pod_spec, resources

from nodeagent.pods.translation.resources import (
    HostLimits,
    container_resources,
    huge_page_name,
    pod_cgroup_limits,
    sandbox_overhead,
    sandbox_resources,
)
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.contract import Assigned
from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import CgroupLimits

GI = 1 << 30
V1 = HostLimits(memory_capacity_bytes=10 * GI, cgroup_v2=False, huge_page_sizes=("2MB", "1GB"))
V2 = HostLimits(memory_capacity_bytes=10 * GI, cgroup_v2=True)
BOTH = {"cpu": "1", "memory": "1Gi"}


def test_huge_page_names() -> None:
    """The API counts in binary prefixes, and so do the kernel's files, under the names of decimal ones."""
    assert [huge_page_name(name) for name in ("hugepages-2Mi", "hugepages-1Gi", "hugepages-64Ki")] == [
        "2MB",
        "1GB",
        "64KB",
    ]


def first(given_pod: AgentPod) -> Any:
    return given_pod.spec.containers[0]


@pytest.mark.parametrize(
    ("given_pod", "expected"),
    [
        (pod({}), {"cpu_shares": 2, "oom_score_adj": 1000}),
        (
            pod(resources({"cpu": "500m", "memory": "1Gi"}, {"cpu": "1", "memory": "2Gi"})),
            {"cpu_shares": 512, "cpu_quota": 100_000, "memory_limit_in_bytes": 2 * GI, "oom_score_adj": 900},
        ),
        # request missing but limit present → limit
        (pod(resources(None, {"cpu": "1"})), {"cpu_shares": 1024, "cpu_quota": 100_000, "oom_score_adj": 999}),
        # an own limit that is missing: the pod-level one; a pod-level request never reaches shares
        (
            pod({}, **resources({"cpu": "1"}, {"cpu": "2", "memory": "1Gi"})),
            {"cpu_shares": 2048, "cpu_quota": 200_000, "memory_limit_in_bytes": GI, "oom_score_adj": 999},
        ),
        (pod({}, **resources({"cpu": "1"})), {"cpu_shares": 2, "oom_score_adj": 999}),
    ],
)
def test_container_resources(given_pod: AgentPod, expected: dict[str, int]) -> None:
    """11.7, 2.3 container level, on v1: the period is always sent, hugepages of every size."""
    sizes = [cri.HugepageLimit(page_size="2MB", limit=0), cri.HugepageLimit(page_size="1GB", limit=0)]
    assert container_resources(given_pod, first(given_pod), V1) == cri.LinuxContainerResources(
        cpu_period=100_000, hugepage_limits=sizes, **expected
    )


def test_container_resources_on_v2() -> None:
    """11.7: memory.oom.group by default; swap 0 where the controller exists; hugepages where limited."""
    given_pod = pod(resources({"memory": "1Gi"}, {"hugepages-2Mi": "8Mi"}))
    host = HostLimits(memory_capacity_bytes=10 * GI, cgroup_v2=True, huge_page_sizes=("2MB",), swap_controller=True)
    assert container_resources(given_pod, first(given_pod), host) == cri.LinuxContainerResources(
        cpu_shares=2,
        cpu_period=100_000,
        oom_score_adj=900,
        hugepage_limits=[cri.HugepageLimit(page_size="2MB", limit=8 << 20)],
        unified={"memory.oom.group": "1", "memory.swap.max": "0"},
    )


@pytest.mark.parametrize(
    ("given_pod", "swap"),
    [
        (pod(resources({"memory": "1Gi"})), str(GI // 2)),
        (pod(resources({"memory": "1Gi"}, {"memory": "1Gi"})), "0"),
        (pod(resources({"cpu": "1"})), "0"),
        (pod(resources(BOTH, BOTH)), "0"),
        (pod(resources({"memory": "1Gi"}), priority=2_000_000_000), "0"),
    ],
)
def test_limited_swap(given_pod: AgentPod, swap: str) -> None:
    """2.5: request/nodeMemory × nodeSwap for Burstable, not critical, request ≠ limit; everyone else 0."""
    host = HostLimits(
        memory_capacity_bytes=10 * GI,
        cgroup_v2=True,
        swap_controller=True,
        limited_swap=True,
        swap_capacity_bytes=5 * GI,
    )
    assert container_resources(given_pod, first(given_pod), host).unified["memory.swap.max"] == swap


def test_other_hosts() -> None:
    """2.2, 2.3, 2.5: no CFS quota, exclusive CPUs, single process OOM kill, swap on v1."""
    given_pod = pod(resources(None, {"cpu": "1", "memory": "1Gi"}))
    no_quota = container_resources(
        given_pod, first(given_pod), HostLimits(memory_capacity_bytes=GI, cgroup_v2=True, cpu_cfs_quota=False)
    )
    exclusive = container_resources(given_pod, first(given_pod), V2, assigned=Assigned(exclusive_cpus=True))
    single = container_resources(
        given_pod, first(given_pod), HostLimits(memory_capacity_bytes=GI, cgroup_v2=True, single_process_oom_kill=True)
    )
    swap_v1 = container_resources(
        given_pod, first(given_pod), HostLimits(memory_capacity_bytes=GI, cgroup_v2=False, swap_controller=True)
    )
    assert (no_quota.cpu_quota, no_quota.cpu_period) == (0, 0)
    assert (exclusive.cpu_quota, exclusive.cpu_period) == (-1, 100_000)
    assert dict(single.unified) == {}
    assert swap_v1.memory_swap_limit_in_bytes == GI


@pytest.mark.parametrize(
    ("given_pod", "expected"),
    [
        (pod({}), (2, None, None, None)),
        (pod(resources(BOTH, BOTH)), (1024, 100_000, 100_000, GI)),
        # Burstable: only if every container declares the limit, or the pod does
        (pod(resources({"cpu": "1"}, BOTH), resources(None, {"cpu": "1"})), (1024, 200_000, 100_000, None)),
        (pod(resources({"cpu": "1"}, BOTH), {}), (1024, None, None, None)),
        (pod(resources({"cpu": "1"}), {}, **resources({"cpu": "2"}, {"memory": "2Gi"})), (2048, None, None, 2 * GI)),
        # overhead: requests always, limits where non-zero
        (
            pod(resources({"cpu": "1"}, BOTH), overhead={"cpu": "1", "memory": "1Gi"}),
            (2048, 200_000, 100_000, 2 * GI),
        ),
    ],
)
def test_pod_cgroup(given_pod: AgentPod, expected: Any) -> None:
    """2.3, pod level: shares, quota, period, memory limit."""
    shares, quota, period, memory = expected
    assert pod_cgroup_limits(given_pod, V2) == CgroupLimits(
        cpu_shares=shares, cpu_quota_us=quota, cpu_period_us=period, memory_limit_bytes=memory
    )


def test_pod_cgroup_extras() -> None:
    """2.3: hugepages of every size from requests, pids when positive, -1 quota without CFS quota or with own CPUs."""
    given_pod = pod(resources({**BOTH, "hugepages-2Mi": "4Mi"}, {**BOTH, "hugepages-2Mi": "4Mi"}))
    host = HostLimits(
        memory_capacity_bytes=GI,
        cgroup_v2=False,
        huge_page_sizes=("2MB", "1GB"),
        cpu_cfs_quota=False,
        pod_pids_limit=99,
    )
    assert pod_cgroup_limits(given_pod, host) == CgroupLimits(
        cpu_shares=1024,
        cpu_quota_us=-1,
        cpu_period_us=100_000,
        memory_limit_bytes=GI,
        pids_limit=99,
        hugetlb_bytes={"2MB": 4 << 20, "1GB": 0},
    )
    assert pod_cgroup_limits(given_pod, V2, exclusive_cpus=True).cpu_quota_us == -1


def test_sandbox() -> None:
    """2.3: the pod's sum without overhead, and overhead alone as request and limit."""
    given_pod = pod(resources({"cpu": "1"}, BOTH), overhead={"cpu": "250m", "memory": "128Mi"})
    assert sandbox_resources(given_pod.spec, V2) == cri.LinuxContainerResources(
        cpu_shares=1024, cpu_quota=100_000, cpu_period=100_000, memory_limit_in_bytes=GI
    )
    assert sandbox_overhead(given_pod.spec, V2) == cri.LinuxContainerResources(
        cpu_shares=256, cpu_quota=25_000, cpu_period=100_000, memory_limit_in_bytes=128 << 20
    )
    assert sandbox_overhead(pod_spec({}), V2) == cri.LinuxContainerResources()
