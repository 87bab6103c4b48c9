"""Everything about a pod's resources, in one place to import from: see `effective` and `cgroup_values`."""

from nodeagent.podspec.cgroup_values import (
    HostLimits,
    PodCgroupLimits,
    container_resources,
    huge_page_name,
    pod_cgroup_limits,
    sandbox_overhead,
    sandbox_resources,
)
from nodeagent.podspec.effective import (
    aggregated,
    as_quantities,
    effective_limits,
    effective_requests,
    is_critical,
    oom_score_adj,
    qos_class,
)

__all__ = [
    "HostLimits",
    "PodCgroupLimits",
    "aggregated",
    "as_quantities",
    "container_resources",
    "effective_limits",
    "effective_requests",
    "huge_page_name",
    "is_critical",
    "oom_score_adj",
    "pod_cgroup_limits",
    "qos_class",
    "sandbox_overhead",
    "sandbox_resources",
]
