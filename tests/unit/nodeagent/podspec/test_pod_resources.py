"""What pods ask for, and the numbers that cgroups get.

Source: docs/facts/node-resources.md 2.2, 2.3, 2.5 and 3, docs/facts/pod-lifecycle.md 11.7.
"""

from fractions import Fraction
from typing import Any

import pytest
from agent_pods import agent_pod
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.pod_resources import (
    HostLimits,
    PodCgroupLimits,
    as_quantities,
    container_resources,
    effective_limits,
    effective_requests,
    huge_page_name,
    is_critical,
    oom_score_adj,
    pod_cgroup_limits,
    qos_class,
    sandbox_overhead,
    sandbox_resources,
)
from proto import cri_pb2 as cri
from runtimes.linux.cgroups.units import (
    container_cpu_weight,
    cpu_quota,
    cpu_shares,
    cpu_weight,
    quota_to_milli,
    shares_to_milli,
    weight_to_shares,
)

GI = 1 << 30
V1 = HostLimits(memory_capacity_bytes=10 * GI, cgroup_v2=False, huge_page_sizes=("2MB", "1GB"))
V2 = HostLimits(memory_capacity_bytes=10 * GI, cgroup_v2=True)


def resources(requests: Any = None, limits: Any = None) -> dict[str, Any]:
    return {"resources": {"requests": requests or {}, "limits": limits or {}}}


def pod(*containers: dict[str, Any], init: Any = (), meta: Any = None, **spec: Any) -> AgentPod:
    def named(prefix: str, items: Any) -> list[dict[str, Any]]:
        return [{"name": f"{prefix}{index}", **item} for index, item in enumerate(items)]

    return agent_pod(
        {
            "metadata": {"name": "p", **(meta or {})},
            "spec": {"containers": named("c", containers), "initContainers": named("i", init), **spec},
        }
    )


def sidecar(requests: Any = None, limits: Any = None) -> dict[str, Any]:
    return {**resources(requests, limits), "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("milli", "shares"), [(0, 2), (1, 2), (2, 2), (3, 3), (100, 102), (1000, 1024), (10**6, 262144)]
)
def test_cpu_shares(milli: int, shares: int) -> None:
    """2.2: 0 → 2; else floor(m*1024/1000), clamped to 2…262144."""
    assert cpu_shares(milli) == shares


@pytest.mark.parametrize(
    ("milli", "period", "quota"), [(0, 100_000, 0), (1, 100_000, 1000), (250, 100_000, 25_000), (1500, 5000, 7500)]
)
def test_cpu_quota(milli: int, period: int, quota: int) -> None:
    """2.2: 0 → unset; floor(m*period/1000), at least 1000."""
    assert cpu_quota(milli, period) == quota


def test_other_conversions() -> None:
    """2.2: back from shares, quota and weight; the agent's weights and those of OCI runtimes."""
    assert [shares_to_milli(shares) for shares in (2, 102, 1024)] == [2, 100, 1000]
    assert [quota_to_milli(quota, 100_000) for quota in (1000, 25_000)] == [10, 250]
    assert [cpu_weight(shares) for shares in (2, 1024, 262144)] == [1, 39, 10000]
    assert [weight_to_shares(weight) for weight in (1, 39, 10000)] == [2, 998, 262144]
    assert [container_cpu_weight(shares) for shares in (2, 1024, 262144)] == [1, 100, 10000]
    assert [huge_page_name(name) for name in ("hugepages-2Mi", "hugepages-1Gi", "hugepages-64Ki")] == [
        "2MB",
        "1GB",
        "64KB",
    ]


@given(st.integers(10, 256_000))
def test_shares_come_back_as_the_request(milli: int) -> None:
    """6.4 needs it: a request of 10m or more is what its shares are turned back to, or at most 1m less."""
    assert milli - shares_to_milli(cpu_shares(milli)) in (0, 1)


@pytest.mark.parametrize(
    ("given_pod", "requests", "limits"),
    [
        (pod(resources({"cpu": "1"}, {"cpu": "2"}), resources({"cpu": "500m"})), {"cpu": "1500m"}, {"cpu": "2"}),
        # the largest init container, where larger
        (
            pod(resources({"cpu": "1"}), init=[resources({"cpu": "3", "memory": "1Gi"})]),
            {"cpu": "3", "memory": "1Gi"},
            {},
        ),
        # sidecars count with regular containers, and with init containers declared after them
        (
            pod(resources({"cpu": "1"}), init=[sidecar({"cpu": "1"}), resources({"cpu": "2"}), sidecar({"cpu": "1"})]),
            {"cpu": "3"},
            {},
        ),
        (
            pod(resources({"cpu": "1"}), init=[resources({"cpu": "3"}), sidecar({"cpu": "1"})]),
            {"cpu": "3"},
            {},
        ),
        (
            pod(resources({"cpu": "1"}), init=[sidecar({"cpu": "1"}), resources({"cpu": "4"})]),
            {"cpu": "5"},
            {},
        ),
        # pod-level values replace cpu, memory, hugepages, nothing else
        (
            pod(
                resources({"cpu": "1", "ephemeral-storage": "1Gi"}, {"memory": "1Gi"}),
                **resources({"cpu": "200m", "hugepages-2Mi": "4Mi", "ephemeral-storage": "9Gi"}, {"memory": "3Gi"}),
            ),
            {"cpu": "200m", "ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi"},
            {"memory": "3Gi"},
        ),
        # overhead: requests always, limits only where non-zero
        (
            pod(resources({"cpu": "1"}, {"memory": "1Gi"}), overhead={"cpu": "250m", "memory": "1Gi"}),
            {"cpu": "1250m", "memory": "1Gi"},
            {"memory": "2Gi"},
        ),
        (pod({}), {}, {}),
    ],
)
def test_effective_requests_and_limits(given_pod: AgentPod, requests: Any, limits: Any) -> None:
    """3.2, each rule."""
    assert as_quantities(effective_requests(given_pod)) == requests
    assert as_quantities(effective_limits(given_pod)) == limits


def test_amounts_are_exact() -> None:
    """Fractions of a unit are not lost in sums."""
    assert effective_requests(pod(*([resources({"cpu": "100u"})] * 3))) == {"cpu": Fraction(3, 10_000)}


BOTH = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("given_pod", "expected"),
    [
        (pod({}), "BestEffort"),
        (pod(resources({"cpu": "0"}, {"memory": "0"})), "BestEffort"),
        (pod(resources({"ephemeral-storage": "1Gi"})), "BestEffort"),
        (pod(resources(BOTH, BOTH)), "Guaranteed"),
        (pod(resources(BOTH, BOTH), init=[resources(BOTH, BOTH)]), "Guaranteed"),
        (pod(resources(BOTH, BOTH), {}), "Burstable"),
        (pod(resources(BOTH, BOTH), init=[{}]), "Burstable"),
        (pod(resources({"cpu": "1"}, {"cpu": "1"})), "Burstable"),
        (pod(resources({"cpu": "1", "memory": "512Mi"}, BOTH)), "Burstable"),
        (pod(resources({"cpu": "1000m", "memory": "1024Mi"}, BOTH)), "Guaranteed"),
        (pod(resources(None, {"memory": "1Gi"})), "Burstable"),
        # pod-level resources decide alone, even with hugepages only
        (pod({}, **resources(BOTH, BOTH)), "Guaranteed"),
        (pod(resources(BOTH, BOTH), **resources({"cpu": "1"})), "Burstable"),
        (pod(resources(BOTH, BOTH), **resources({"hugepages-2Mi": "2Mi"})), "BestEffort"),
    ],
)
def test_qos_class(given_pod: AgentPod, expected: str) -> None:
    """3.1, each line."""
    assert qos_class(given_pod) == expected


def test_the_recorded_qos_class_is_used_as_is() -> None:
    """3.1, first line."""
    recorded = agent_pod({"spec": {"containers": [{"name": "a"}]}, "status": {"qosClass": "Guaranteed"}})
    assert qos_class(recorded) == "Guaranteed"


@pytest.mark.parametrize(
    ("given_pod", "scores"),
    [
        (pod({}), {"c0": 1000}),
        (pod(resources(BOTH, BOTH)), {"c0": -997}),
        (pod(resources({"memory": "1Gi"})), {"c0": 900}),
        (pod(resources({"cpu": "1"})), {"c0": 999}),  # exactly 1000 → 999
        (pod(resources({"memory": "100Gi"})), {"c0": 3}),  # below 3 → 3
        (pod({}, priority=2_000_000_000, priorityClassName="system-node-critical"), {"c0": -997}),
        (pod({}, priority=2_000_000_000, priorityClassName="system-cluster-critical"), {"c0": 1000}),
        # a sidecar is as safe as the smallest regular container at least
        (pod(resources({"memory": "2Gi"}), init=[sidecar({"memory": "1Gi"})]), {"c0": 800, "i0": 800}),
        (pod(resources({"memory": "1Gi"}), init=[sidecar({"memory": "2Gi"})]), {"c0": 900, "i0": 800}),
        (pod(resources({"memory": "2Gi"}), init=[resources({"memory": "1Gi"})]), {"c0": 800, "i0": 900}),
        # pod-level: the rest of the request in equal shares
        (pod(resources({"memory": "1Gi"}), {}, **resources({"memory": "3Gi"})), {"c0": 800, "c1": 900}),
    ],
)
def test_oom_score_adj(given_pod: AgentPod, scores: dict[str, int]) -> None:
    """3.3, on a node of 10 GiB."""
    assert given_pod.spec is not None
    listed = [*given_pod.spec.containers, *(given_pod.spec.initContainers or [])]
    assert {item.name: oom_score_adj(given_pod, item, 10 * GI) for item in listed if item.name in scores} == scores


def test_critical_pods() -> None:
    """3.4: static, mirror, or priority from 2000000000."""
    found = [
        is_critical(pod({}, meta={"annotations": annotations}, priority=priority))
        for annotations, priority in (
            ({}, 1_999_999_999),
            ({}, 2_000_000_000),
            ({"kubernetes.io/config.source": "api"}, 0),
            ({"kubernetes.io/config.source": "file"}, 0),
            ({"kubernetes.io/config.mirror": "x"}, 0),
        )
    ]
    assert found == [False, True, False, True, True]


def first(given_pod: AgentPod) -> Any:
    assert given_pod.spec is not None
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
    exclusive = container_resources(given_pod, first(given_pod), V2, exclusive_cpus=True)
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
    assert pod_cgroup_limits(given_pod, V2) == PodCgroupLimits(
        shares=shares, quota_us=quota, period_us=period, memory_bytes=memory, pids=None, hugepages_bytes={}
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
    assert pod_cgroup_limits(given_pod, host) == PodCgroupLimits(
        shares=1024,
        quota_us=-1,
        period_us=100_000,
        memory_bytes=GI,
        pids=99,
        hugepages_bytes={"2MB": 4 << 20, "1GB": 0},
    )
    assert pod_cgroup_limits(given_pod, V2, exclusive_cpus=True).quota_us == -1


def test_sandbox() -> None:
    """2.3: the pod's sum without overhead, and overhead alone as request and limit."""
    given_pod = pod(resources({"cpu": "1"}, BOTH), overhead={"cpu": "250m", "memory": "128Mi"})
    assert sandbox_resources(given_pod, V2) == cri.LinuxContainerResources(
        cpu_shares=1024, cpu_quota=100_000, cpu_period=100_000, memory_limit_in_bytes=GI
    )
    assert sandbox_overhead(given_pod, V2) == cri.LinuxContainerResources(
        cpu_shares=256, cpu_quota=25_000, cpu_period=100_000, memory_limit_in_bytes=128 << 20
    )
    assert sandbox_overhead(pod({}), V2) == cri.LinuxContainerResources()
