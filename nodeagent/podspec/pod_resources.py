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
    from_dict,
    is_critical,
    is_static,
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
    "from_dict",
    "huge_page_name",
    "is_critical",
    "is_static",
    "oom_score_adj",
    "pod_cgroup_limits",
    "qos_class",
    "sandbox_overhead",
    "sandbox_resources",
]
