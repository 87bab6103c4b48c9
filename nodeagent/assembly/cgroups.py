"""Cgroups: of the pods, and of the system and the agent, each held to what the configuration gives them."""

import logging
import os
from collections.abc import Callable
from fractions import Fraction

from nodeagent.api.events import Events, NodeEvents
from nodeagent.assembly.cgroup_driver import CgroupDriver
from nodeagent.assembly.host import Host
from nodeagent.assembly.preflight import LIMITED_SWAP
from nodeagent.assembly.running import Scope
from nodeagent.cgroups.naming import CgroupfsNaming, SystemdNaming
from nodeagent.cgroups.pod_cgroups import PodCgroups
from nodeagent.cgroups.slices import NoSlices, Slices
from nodeagent.cgroups.upkeep import CgroupUpkeep
from nodeagent.config import Config
from nodeagent.errors import AgentStartError
from nodeagent.metrics.cgroups import CgroupMetrics
from nodeagent.node.facts import Machine
from nodeagent.node.state import NodeState
from nodeagent.pods.steps.cgroup import CgroupStep
from nodeagent.pods.translation.memory_qos import MemoryQoS
from nodeagent.pods.translation.resources import HostLimits
from nodeagent.resources import cpuset
from runtimes.kube import quantity
from runtimes.kube.duration import seconds
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits, Cgroups
from runtimes.linux.cgroups.units import cpu_shares, page_size_name

log = logging.getLogger(__name__)

PODS = "pods"  # of enforceNodeAllocatable


async def start_cgroups(scope: Scope, config: Config, host: Host, driver: CgroupDriver) -> PodCgroups:
    """Raises AgentStartError, CgroupError."""
    cgroups = pod_cgroups(config, driver, host.cgroups, CgroupMetrics(host.metrics).ended)
    try:
        await cgroups.start(node_cgroup_limits(config, host.machine))
    except CgroupError as error:
        # what runs may use more than it may from now on: the upkeep says so, and tries again
        log.warning("pods are not held to what the node has for them: %s", error)
        await cgroups.start(CgroupLimits())
    for name, limits in reserved_cgroup_limits(config).items():
        try:
            await cgroups.limit_existing(name, limits)
        except CgroupError as error:
            raise AgentStartError(f"enforceNodeAllocatable: cannot hold {name} to what is reserved: {error}") from error
    return cgroups


async def start_cgroup_upkeep(
    scope: Scope, config: Config, host: Host, cgroups: PodCgroups, step: CgroupStep, events: Events
) -> CgroupUpkeep:
    """Holds the cgroups above the pods' to their limits, whatever others do to them."""
    upkeep = CgroupUpkeep(
        cgroups,
        node_cgroup_limits(config, host.machine),
        refresh_classes=step.refresh,
        events=NodeEvents(events, config.node_name),
        enforced=PODS in config.kubelet.enforceNodeAllocatable,
    )
    scope.loop(upkeep.run, "cgroup upkeep")
    return upkeep


def pod_cgroups(
    config: Config,
    driver: CgroupDriver,
    cgroups: Cgroups,
    observe: Callable[[str, float], None] = lambda operation, seconds: None,
) -> PodCgroups:
    root = tuple(part for part in config.kubelet.cgroupRoot.split("/") if part)
    naming = SystemdNaming() if driver is CgroupDriver.SYSTEMD else CgroupfsNaming()
    return PodCgroups(cgroups, root=root, naming=naming, slices=_slices(driver, cgroups), observe=observe)


def _slices(driver: CgroupDriver, cgroups: Cgroups) -> Slices:
    if driver is not CgroupDriver.SYSTEMD:
        return NoSlices()
    from nodeagent.cgroups.systemd import SystemdSlices  # D-Bus is for who needs it

    return SystemdSlices(cgroups.version)


async def start_host_limits(scope: Scope, config: Config, host: Host, state: NodeState) -> HostLimits:
    """What pods' requests and limits are translated with."""
    kubelet = config.kubelet
    machine = host.machine
    v2 = host.cgroups.version == 2
    single = not v2 if kubelet.singleProcessOOMKill is None else kubelet.singleProcessOOMKill
    return HostLimits(
        memory_capacity_bytes=machine.memory_bytes,
        cgroup_v2=v2,
        huge_page_sizes=host.cgroups.huge_page_sizes,
        cpu_period_us=int(seconds(kubelet.cpuCFSQuotaPeriod) * 1_000_000),
        cpu_cfs_quota=kubelet.cpuCFSQuota,
        single_process_oom_kill=single,
        swap_controller=host.cgroups.limits_swap,
        limited_swap=kubelet.memorySwap.swapBehavior == LIMITED_SWAP,
        swap_capacity_bytes=machine.swap_bytes,
        pod_pids_limit=kubelet.podPidsLimit,
        controllers=host.cgroups.controllers,
        memory_qos=memory_qos(config, host.cgroups.version, quantity.value(state.allocatable["memory"])),
    )


def memory_qos(config: Config, version: int, allocatable_bytes: int) -> MemoryQoS | None:
    """None where the feature gate is off, and on cgroup v1, which has nothing of the kind."""
    kubelet = config.kubelet
    if not kubelet.featureGates.get("MemoryQoS", False):
        return None
    if version == 1:
        log.warning("featureGates.MemoryQoS is not in force: it needs cgroup v2")
        return None
    return MemoryQoS(
        throttling_factor=Fraction(str(kubelet.memoryThrottlingFactor)),
        tiered=kubelet.memoryReservationPolicy == "TieredReservation",
        allocatable_bytes=allocatable_bytes,
        page_bytes=os.sysconf("SC_PAGE_SIZE"),
    )


def node_cgroup_limits(config: Config, machine: Machine) -> CgroupLimits:
    """What `kubepods` may use: capacity less what is reserved, without the eviction threshold; all of it where that is not to
    be enforced (docs/facts/node-resources.md 2.3, 4.3)."""
    pods = PODS in config.kubelet.enforceNodeAllocatable
    reserved = (config.kubelet.systemReserved, config.kubelet.kubeReserved) if pods else ()
    listed = len(cpuset.parse(config.kubelet.reservedSystemCPUs)) if pods else 0
    # CPUs that are listed count in place of what is reserved otherwise
    milli = machine.cpus * 1000 - (listed * 1000 or sum(quantity.milli(item.get("cpu", "0")) for item in reserved))
    memory_bytes = machine.memory_bytes - sum(quantity.value(item.get("memory", "0")) for item in reserved)
    pids = machine.max_pids - sum(quantity.value(item.get("pid", "0")) for item in reserved)
    return CgroupLimits(
        cpu_shares=cpu_shares(milli),
        memory_limit_bytes=memory_bytes,
        pids_limit=pids if machine.max_pids else None,
        hugetlb_bytes={page_size_name(size): size * count for size, count in machine.hugepages.items()},
    )


def reserved_cgroup_limits(config: Config) -> dict[str, CgroupLimits]:
    """The cgroups of the system and of the agent that are held to what is reserved for them; they must exist."""
    kubelet = config.kubelet
    found: dict[str, CgroupLimits] = {}
    kept = kubelet.featureGates.get("MemoryQoS", False) and kubelet.memoryReservationPolicy == "TieredReservation"
    for kind, cgroup, reserved in (
        ("system-reserved", kubelet.systemReservedCgroup, kubelet.systemReserved),
        ("kube-reserved", kubelet.kubeReservedCgroup, kubelet.kubeReserved),
    ):
        shares = cpu_shares(quantity.milli(reserved["cpu"])) if "cpu" in reserved else None
        if f"{kind}-compressible" in kubelet.enforceNodeAllocatable:
            found[cgroup] = CgroupLimits(cpu_shares=shares)
        elif kind in kubelet.enforceNodeAllocatable:
            found[cgroup] = CgroupLimits(
                cpu_shares=shares,
                memory_limit_bytes=quantity.value(reserved["memory"]) if "memory" in reserved else None,
                pids_limit=quantity.value(reserved["pid"]) if "pid" in reserved else None,
                unified={"memory.min": str(quantity.value(reserved["memory"]))}
                if kept and "memory" in reserved
                else {},
            )
    return found
