"""From requests and limits to the numbers that cgroups and the CRI take.

Source: docs/facts/node-resources.md 2.2, 2.3 and 2.5, docs/facts/pod-lifecycle.md 11.7.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from lightkube.models.core_v1 import Container, EphemeralContainer, PodSpec

from nodeagent.pods.translation.memory_qos import MemoryQoS, container_files, reservation_files
from nodeagent.podspec.critical import is_critical
from nodeagent.podspec.effective import Amounts, aggregated, amounts, effective_limits, effective_requests, overhead
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.qos import BEST_EFFORT, BURSTABLE, GUARANTEED, oom_score_adj, qos_class
from nodeagent.resources.contract import NOTHING, Assigned
from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import CgroupLimits
from runtimes.linux.cgroups.units import DEFAULT_PERIOD_US, MIN_SHARES, UNLIMITED_QUOTA, cpu_quota, cpu_shares


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    """What container limits depend on besides the pod. `huge_page_sizes`: as cgroup files name them ("2MB", "1GB").

    `controllers`: of cgroups, by which limits are held here. `memory_qos` None: that is off, or this is cgroup v1.
    """

    memory_capacity_bytes: int
    cgroup_v2: bool
    huge_page_sizes: tuple[str, ...] = ()
    cpu_period_us: int = DEFAULT_PERIOD_US
    cpu_cfs_quota: bool = True
    single_process_oom_kill: bool = False
    swap_controller: bool = False
    limited_swap: bool = False
    swap_capacity_bytes: int = 0
    pod_pids_limit: int = -1
    controllers: frozenset[str] = frozenset()
    memory_qos: MemoryQoS | None = None


def huge_page_name(resource: str) -> str:
    """The cgroup file name of a page size: "hugepages-2Mi" -> "2MB"."""
    text = resource.removeprefix("hugepages-")
    return text.replace("Ki", "KB").replace("Mi", "MB").replace("Gi", "GB")


def container_resources(
    pod: AgentPod, container: Container | EphemeralContainer, host: HostLimits, *, assigned: Assigned = NOTHING
) -> cri.LinuxContainerResources:
    """The limits that the runtime applies to one container. A missing own limit falls back to the pod-level one."""
    requests = amounts(container.resources, "requests")
    own_limits = amounts(container.resources, "limits")
    limits = {**amounts(pod.spec.resources, "limits"), **own_limits}
    memory_bytes = math.ceil(limits.get("memory", Fraction(0)))
    qos, critical = qos_class(pod.spec, pod.status), is_critical(pod)
    made = cri.LinuxContainerResources(
        # a request that is not given is the limit's; a pod-level request never counts here
        cpu_shares=cpu_shares(_milli(requests.get("cpu", limits.get("cpu")))),
        memory_limit_in_bytes=memory_bytes,
        cpuset_cpus=assigned.cpus,
        cpuset_mems=assigned.memory_nodes,
        oom_score_adj=oom_score_adj(pod.spec, container, host.memory_capacity_bytes, qos=qos, critical=critical),
        hugepage_limits=[
            cri.HugepageLimit(page_size=size, limit=limit) for size, limit in _huge_pages(limits, host).items()
        ],
    )
    if assigned.exclusive_cpus:
        made.cpu_quota, made.cpu_period = UNLIMITED_QUOTA, host.cpu_period_us
    elif host.cpu_cfs_quota:
        made.cpu_quota = cpu_quota(_milli(limits.get("cpu")), host.cpu_period_us)
        made.cpu_period = host.cpu_period_us
    if host.cgroup_v2 and not host.single_process_oom_kill:
        made.unified["memory.oom.group"] = "1"
    if host.memory_qos is not None:
        made.unified.update(container_files(host.memory_qos, requests, limits, qos=qos))
    if host.swap_controller:
        may_swap = host.limited_swap and qos == BURSTABLE and not critical
        _limit_swap(made, requests, own_limits, memory_bytes, host, may_swap=may_swap)
    return made


def pod_cgroup_limits(pod: AgentPod, host: HostLimits, *, exclusive_cpus: bool = False) -> CgroupLimits:
    """The limits of the pod's own cgroup, overhead included; None where the file is not written. Of huge pages every size."""
    spec = pod.spec
    requests, limits = effective_requests(spec), effective_limits(spec)
    qos = qos_class(spec, pod.status)
    quota_us: int | None = None
    memory_bytes: int | None = None
    if qos == GUARANTEED or (qos == BURSTABLE and _all_declare(spec, "cpu")):
        quota_us = cpu_quota(_milli(limits.get("cpu")), host.cpu_period_us) or None
    if qos == GUARANTEED or (qos == BURSTABLE and _all_declare(spec, "memory")):
        memory_bytes = math.ceil(limits.get("memory", Fraction(0))) or None
    if qos != BEST_EFFORT and (exclusive_cpus or not host.cpu_cfs_quota):
        quota_us = UNLIMITED_QUOTA
    return CgroupLimits(
        cpu_shares=MIN_SHARES if qos == BEST_EFFORT else cpu_shares(_milli(requests.get("cpu"))),
        cpu_quota_us=quota_us,
        cpu_period_us=None if quota_us is None else host.cpu_period_us,
        memory_limit_bytes=memory_bytes,
        pids_limit=host.pod_pids_limit if host.pod_pids_limit > 0 else None,
        hugetlb_bytes=_huge_pages(requests, host),
        unified={} if host.memory_qos is None else reservation_files(host.memory_qos, requests, qos=qos),
    )


def sandbox_resources(spec: PodSpec, host: HostLimits) -> cri.LinuxContainerResources:
    """The sandbox's `linux.resources`: the pod's sum, without overhead."""
    return _sandbox(aggregated(spec, "requests"), aggregated(spec, "limits"), host)


def sandbox_overhead(spec: PodSpec, host: HostLimits) -> cri.LinuxContainerResources:
    """The sandbox's `linux.overhead`: the RuntimeClass's overhead alone, as request and limit."""
    extra = overhead(spec)
    return _sandbox(extra, extra, host) if extra else cri.LinuxContainerResources()


def _sandbox(requests: Amounts, limits: Amounts, host: HostLimits) -> cri.LinuxContainerResources:
    return cri.LinuxContainerResources(
        cpu_shares=cpu_shares(_milli(requests.get("cpu"))),
        cpu_quota=cpu_quota(_milli(limits.get("cpu")), host.cpu_period_us),
        cpu_period=host.cpu_period_us,
        memory_limit_in_bytes=math.ceil(limits.get("memory", Fraction(0))),
    )


def _all_declare(spec: PodSpec, resource: str) -> bool:
    """Whether every container, or the pod itself, limits the resource."""
    if amounts(spec.resources, "limits").get(resource):
        return True
    listed: Sequence[Container] = (*spec.containers, *(spec.initContainers or ()))
    return all(amounts(item.resources, "limits").get(resource) for item in listed)


def _limit_swap(
    made: cri.LinuxContainerResources,
    requests: Amounts,
    limits: Amounts,
    memory_limit_bytes: int,
    host: HostLimits,
    *,
    may_swap: bool,
) -> None:
    if not host.cgroup_v2:
        made.memory_swap_limit_in_bytes = memory_limit_bytes
        return
    swap_bytes = 0
    request = requests.get("memory", Fraction(0))
    if may_swap and request and request != limits.get("memory"):
        swap_bytes = int(request * host.swap_capacity_bytes / host.memory_capacity_bytes)
    made.unified["memory.swap.max"] = str(swap_bytes)


def _huge_pages(values: Amounts, host: HostLimits) -> dict[str, int]:
    wanted = {huge_page_name(name): math.ceil(value) for name, value in values.items() if name.startswith("hugepages-")}
    return {size: wanted.get(size, 0) for size in host.huge_page_sizes}


def _milli(cores: Fraction | None) -> int:
    return 0 if cores is None else math.ceil(cores * 1000)
