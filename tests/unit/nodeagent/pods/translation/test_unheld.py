"""nodeagent.pods.translation.unheld: what is told of a pod whose limits the kernel cannot hold."""

from typing import Any

import pytest
from pod_builders import pod, resources

from nodeagent.pods.translation.resources import HostLimits
from nodeagent.pods.translation.unheld import unheld_limits

LIMITED = resources({"hugepages-2Mi": "2Mi"}, {"cpu": "1", "memory": "64Mi", "hugepages-2Mi": "2Mi"})


@pytest.mark.parametrize(
    ("controllers", "pids", "container", "unheld"),
    [
        ({"cpu", "memory", "pids", "hugetlb"}, 10, LIMITED, ""),
        (set(), 10, LIMITED, "cpu, memory, pids, hugetlb"),
        ({"cpu", "memory"}, 10, {}, "pids"),
        (set(), -1, {}, ""),
        ({"memory"}, -1, resources({"cpu": "1"}, {"memory": "1Gi"}), ""),
    ],
)
def test_limits_without_a_controller(controllers: set[str], pids: int, container: Any, unheld: str) -> None:
    """Those that the pod has, or the node gives it; nothing is said of a pod that asks for none of them."""
    host = HostLimits(
        memory_capacity_bytes=1 << 30, cgroup_v2=False, pod_pids_limit=pids, controllers=frozenset(controllers)
    )
    told = f"The pod is not held to its limits of {unheld}: this node has no such cgroup controller"
    assert unheld_limits(pod(container), host) == (told if unheld else "")
