"""nodeagent.pods.translation.memory_qos, as tables. docs/facts/node-resources.md 2.4."""

from fractions import Fraction
from typing import Any

import pytest
from pod_builders import pod, resources

from nodeagent.pods.translation.memory_qos import MemoryQoS
from nodeagent.pods.translation.resources import HostLimits, container_resources, pod_cgroup_limits

MIB = 1 << 20
CPU_TOO = {"cpu": "1", "memory": "100Mi"}
GUARANTEED = resources(CPU_TOO, CPU_TOO)
BURSTABLE = resources({"memory": "100Mi"}, {"memory": "200Mi"})


def host(*, tiered: bool = False, factor: str = "0.9", allocatable_bytes: int = 1000 * MIB) -> HostLimits:
    qos = MemoryQoS(
        throttling_factor=Fraction(factor), tiered=tiered, allocatable_bytes=allocatable_bytes, page_bytes=4096
    )
    return HostLimits(memory_capacity_bytes=1 << 40, cgroup_v2=True, single_process_oom_kill=True, memory_qos=qos)


@pytest.mark.parametrize(
    ("container", "factor", "high"),
    [
        (GUARANTEED, "0.9", None),
        ({}, "0.9", None),
        (BURSTABLE, "0.9", 190 * MIB),
        (BURSTABLE, "0.333", (100 * MIB + 333 * 100 * MIB // 1000) // 4096 * 4096),
        (resources({"memory": "100Mi"}), "0.9", 910 * MIB),
        (resources({"memory": "0"}, {"memory": "100Mi"}), "0.9", 90 * MIB),
        (resources({"memory": "100Mi"}, {"memory": "104858624"}), "0.9", None),
    ],
)
def test_where_a_container_is_slowed_down(container: Any, factor: str, high: int | None) -> None:
    """Between request and limit, or what the node has, in whole pages; not at or below the request, nor where both are one."""
    given = pod(container)
    files = dict(container_resources(given, given.spec.containers[0], host(factor=factor)).unified)
    assert files == {"memory.min": "0", "memory.low": "0"} | ({} if high is None else {"memory.high": str(high)})


@pytest.mark.parametrize(
    ("container", "tiered", "least", "low"),
    [
        (GUARANTEED, True, 100 * MIB, 0),
        (BURSTABLE, True, 0, 100 * MIB),
        ({}, True, 0, 0),
        (GUARANTEED, False, 0, 0),
        (BURSTABLE, False, 0, 0),
    ],
)
def test_what_reclaim_leaves(container: Any, tiered: bool, least: int, low: int) -> None:
    """In tiers, a request: at all costs of a Guaranteed pod, of a Burstable one while others have some; of pod and container."""
    given, node = pod(container), host(tiered=tiered)
    wanted = {"memory.min": str(least), "memory.low": str(low)}
    files = dict(container_resources(given, given.spec.containers[0], node).unified)
    files.pop("memory.high", None)
    assert files == pod_cgroup_limits(given, node).unified == wanted
    assert pod_cgroup_limits(given, HostLimits(memory_capacity_bytes=1, cgroup_v2=True)).unified == {}
