"""The resources and the user that a container really has, as its status reports them.

Source: docs/facts/pod-lifecycle.md 6.4. Resources are those that the instance was made with or changed to, overlaid for running
containers with what the runtime enforces; the smallest values, which the kernel cannot express, are left as they were asked for.
"""

from lightkube.models.core_v1 import ContainerUser, LinuxContainerUser, ResourceRequirements

from nodeagent.pods.resize.allocation import merged, same_resources
from nodeagent.pods.rules.runtime_view import RUNNING
from proto import cri_pb2 as cri
from runtimes.kube import quantity
from runtimes.linux.cgroups.units import quota_to_milli, shares_to_milli

SMALLEST_LIMIT_MILLI = 10  # below it the quota is the kernel's minimum
SMALLEST_REQUEST_MILLI = 2  # below it the shares are the kernel's minimum


def allocated_resources(resources: ResourceRequirements | None) -> dict[str, str] | None:
    """The allocated requests."""
    return dict(resources.requests) if resources is not None and resources.requests else None


def reported_resources(
    allocated: ResourceRequirements | None, in_force: ResourceRequirements | None, found: cri.ContainerStatus
) -> ResourceRequirements:
    """What is in force (None: what is allocated), with the runtime's own numbers where the container runs.

    What is allocated is not in force before it has been put there: a memory request, of which no runtime tells, would show a
    resize as done that has not begun.
    """
    resources = allocated
    if in_force is not None and not same_resources(allocated, in_force):
        resources = merged(allocated, in_force)
    limits = dict(resources.limits or {}) if resources is not None else {}
    requests = dict(resources.requests or {}) if resources is not None else {}
    claims = resources.claims if resources is not None else None
    if found.state == RUNNING and found.resources.HasField("linux"):
        _overlay(limits, requests, found.resources.linux)
    return ResourceRequirements(limits=limits or None, requests=requests or None, claims=claims)


def reported_user(found: cri.ContainerStatus) -> ContainerUser | None:
    if not found.user.HasField("linux"):
        return None
    linux = found.user.linux
    groups = list(linux.supplemental_groups) or None
    return ContainerUser(linux=LinuxContainerUser(uid=linux.uid, gid=linux.gid, supplementalGroups=groups))


def _overlay(limits: dict[str, str], requests: dict[str, str], actual: cri.LinuxContainerResources) -> None:
    if actual.cpu_quota > 0 and actual.cpu_period > 0:
        _overlay_cpu(limits, quota_to_milli(actual.cpu_quota, actual.cpu_period), SMALLEST_LIMIT_MILLI)
    if actual.cpu_shares > 0:
        _overlay_cpu(requests, shares_to_milli(actual.cpu_shares), SMALLEST_REQUEST_MILLI)
    memory_bytes = actual.memory_limit_in_bytes
    if "memory" in limits and memory_bytes > 0 and quantity.value(limits["memory"]) != memory_bytes:
        limits["memory"] = quantity.from_bytes(memory_bytes)


def _overlay_cpu(allocated: dict[str, str], actual_milli: int, smallest_milli: int) -> None:
    if "cpu" not in allocated:
        return
    allocated_milli = quantity.milli(allocated["cpu"])
    if allocated_milli != actual_milli and max(allocated_milli, actual_milli) > smallest_milli:
        allocated["cpu"] = quantity.from_milli(actual_milli)
