"""CRI resources as the bundle's linux.resources (OCI runtime-spec, config-linux.md), for cgroup v1 and v2.

The runtime converts shares to weight and the like; here only what does not exist on this host is left out.
"""

from dataclasses import dataclass
from typing import Any

from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import Cgroups


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupFeatures:
    """`huge_pages`: page sizes that have a limit file ("2MB"); `swap`: swap use can be limited."""

    unified: bool
    swap: bool
    huge_pages: frozenset[str]

    @classmethod
    def of(cls, cgroups: Cgroups) -> "CgroupFeatures":
        return cls(
            unified=cgroups.version == 2,
            swap=cgroups.limits_swap,
            huge_pages=frozenset(cgroups.huge_page_sizes),
        )


def linux_resources(resources: cri.LinuxContainerResources, features: CgroupFeatures) -> dict[str, Any]:
    """Zero and empty mean "not said" in the CRI, and are left out. A CPU quota of -1 is "no limit", and said."""
    cpu: dict[str, Any] = {
        "shares": resources.cpu_shares,
        "quota": resources.cpu_quota,
        "period": resources.cpu_period,
        "cpus": resources.cpuset_cpus,
        "mems": resources.cpuset_mems,
    }
    memory: dict[str, Any] = {"limit": resources.memory_limit_in_bytes}
    if features.swap:
        # without a word about swap the limit holds for both together, that is: no swap
        memory["swap"] = resources.memory_swap_limit_in_bytes or resources.memory_limit_in_bytes
    huge_pages = [
        {"pageSize": limit.page_size, "limit": limit.limit}
        for limit in resources.hugepage_limits
        if limit.page_size in features.huge_pages
    ]
    found: dict[str, Any] = {"cpu": _said(cpu), "memory": _said(memory), "hugepageLimits": huge_pages}
    if features.unified:
        found["unified"] = dict(resources.unified)
    return _said(found)


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def merge(current: cri.LinuxContainerResources, change: cri.LinuxContainerResources) -> cri.LinuxContainerResources:
    """What holds after an update: the change's fields where it says something, else the current ones."""
    merged = cri.LinuxContainerResources()
    merged.CopyFrom(current)
    for name in (
        "cpu_period",
        "cpu_quota",
        "cpu_shares",
        "memory_limit_in_bytes",
        "oom_score_adj",
        "cpuset_cpus",
        "cpuset_mems",
        "memory_swap_limit_in_bytes",
    ):
        if value := getattr(change, name):
            setattr(merged, name, value)
    if change.hugepage_limits:
        del merged.hugepage_limits[:]
        merged.hugepage_limits.extend(change.hugepage_limits)
    merged.unified.update(change.unified)
    return merged
