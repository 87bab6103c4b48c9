"""What of a pod still runs with other resources than it has been allocated: live changes, restarts, and the pod's cgroup.

Pure. Which resources a container runs with is remembered when they are put in force (`Actuated`); where that memory is lost,
the runtime's own figures speak. Source: docs/facts/pod-lifecycle.md 4.7.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import msgspec
from lightkube.models.core_v1 import Container, ResourceRequirements

from nodeagent.pods.resize.allocation import (
    RESIZABLE,
    figure,
    merged,
    pod_level,
    resizable_containers,
    same_resources,
)
from nodeagent.pods.resize.decision import RESTART, restart_policy
from nodeagent.pods.rules.model import Instance, Observed
from nodeagent.pods.rules.replacement import interrupted
from nodeagent.pods.rules.runtime_view import RUNNING, newest
from nodeagent.pods.translation.resources import HostLimits, container_resources
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources import cpuset
from proto import cri_pb2 as cri
from runtimes.kube import quantity
from runtimes.linux.cgroups.units import MIN_SHARES, quota_to_milli, shares_to_milli


class ActuatedContainer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The resources that one container instance runs with. `id` empty: of the instance that was made last."""

    resources: ResourceRequirements
    id: str = ""


class Actuated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is in force of a pod. `restarting`: container name -> id of the instance that is being replaced for a resize;
    it starts again whatever the restart policy says, by this agent or the next one. `replacing`: likewise, for any other reason.
    """

    containers: Mapping[str, ActuatedContainer] = {}
    pod: ResourceRequirements | None = None
    restarting: Mapping[str, str] = {}
    replacing: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveChange:
    """One resource of one running container. Figures are exact; None: no request, no limit."""

    container: Container
    container_id: str
    resource: str
    before: ResourceRequirements | None

    @property
    def decreases(self) -> bool:
        """A smaller limit, or, the limits being equal, a smaller request."""
        old, new = self._limits()
        if old != new:
            return new is not None and (old is None or new < old)
        before = figure(self.before, "requests", self.resource) or Fraction(0)
        return (figure(self.container.resources, "requests", self.resource) or Fraction(0)) < before

    @property
    def lowers_limit(self) -> bool:
        old, new = self._limits()
        return new is not None and (old is None or new < old)

    def _limits(self) -> tuple[Fraction | None, Fraction | None]:
        return figure(self.before, "limits", self.resource), figure(self.container.resources, "limits", self.resource)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is left to do. `live`: memory before CPU, of each the decreases first. `restarts`: container ids that stop, or have
    stopped, to start again. `pod`: the pod's own cgroup differs too. `replacing`: what was stopped to start again for other
    reasons, and is no part of the resize.
    """

    live: tuple[LiveChange, ...] = ()
    restarts: Mapping[str, str] = field(default_factory=dict)  # container name -> id
    pod: bool = False
    replacing: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.live or self.restarts or self.pod)


def due(pod: AgentPod, observed: Observed, actuated: Actuated) -> Due:
    """`pod` holds its allocated resources. Containers that do not run get theirs when they start."""
    live: list[LiveChange] = []
    restarts = interrupted(observed, actuated.restarting)
    for container in resizable_containers(pod):
        instance = newest(observed, container.name)
        if instance is None or instance.status.state != RUNNING:
            continue
        known = actuated.containers.get(container.name)
        before = known.resources if known is not None and known.id == instance.status.id else None
        changed = [name for name in RESIZABLE if not _same(container.resources, before, name)]
        if any(restart_policy(container, name) == RESTART for name in changed):
            restarts[container.name] = instance.status.id
        else:
            live += (
                LiveChange(container=container, container_id=instance.status.id, resource=name, before=before)
                for name in changed
            )
    level = actuated.pod is not None and not same_resources(actuated.pod, pod_level(pod))
    replacing = interrupted(observed, actuated.replacing, stopped=True)
    return Due(live=tuple(in_order(live)), restarts=restarts, pod=level, replacing=replacing)


def in_order(changes: list[LiveChange]) -> list[LiveChange]:
    """Memory, then CPU; of each what is given back before what is taken."""
    return sorted(changes, key=lambda change: (RESIZABLE.index(change.resource), not change.decreases))


def recollected(
    pod: AgentPod, observed: Observed, actuated: Actuated, host: HostLimits, *, in_progress: bool
) -> Actuated:
    """`actuated` brought in line with the instances that are there now.

    An instance that nothing is known of either was made by the last pass, which left word by name, or its figures in the
    runtime tell. Where the runtime tells nothing, it has what is allocated, unless a resize is under way.
    """
    containers: dict[str, ActuatedContainer] = {}
    for container in resizable_containers(pod):
        known = actuated.containers.get(container.name)
        instance = newest(observed, container.name)
        if instance is None or instance.status.state != RUNNING:
            if known is not None:
                containers[container.name] = known
            continue
        if known is not None and known.id == instance.status.id:
            containers[container.name] = known
        elif known is not None and not known.id:
            containers[container.name] = ActuatedContainer(id=instance.status.id, resources=known.resources)
        else:
            found = _from_runtime(pod, container, instance, host)
            if found is None and not in_progress:
                found = container.resources or ResourceRequirements()
            if found is not None:
                containers[container.name] = ActuatedContainer(id=instance.status.id, resources=found)
    restarting = interrupted(observed, actuated.restarting)
    replacing = interrupted(observed, actuated.replacing, stopped=True)
    if (containers, restarting, replacing) == (actuated.containers, actuated.restarting, actuated.replacing):
        return actuated
    return Actuated(containers=containers, pod=actuated.pod, restarting=restarting, replacing=replacing)


def _from_runtime(
    pod: AgentPod, container: Container, instance: Instance, host: HostLimits
) -> ResourceRequirements | None:
    """The allocated resources as far as the runtime's figures agree with them, else what these figures say; None: no figures."""
    if not instance.status.resources.HasField("linux"):
        return None
    found, wanted = instance.status.resources.linux, container_resources(pod, container, host)
    own = container.resources
    found_quota = wanted.cpu_quota if _has_own_cpus(found, wanted) else found.cpu_quota
    if (max(MIN_SHARES, found.cpu_shares), max(0, found_quota)) != (wanted.cpu_shares, max(0, wanted.cpu_quota)):
        limit = quota_to_milli(found.cpu_quota, found.cpu_period) if found.cpu_quota > 0 and found.cpu_period else 0
        request = quantity.from_milli(shares_to_milli(found.cpu_shares))
        cpu = ResourceRequirements(
            requests={"cpu": request}, limits={"cpu": quantity.from_milli(limit)} if limit else None
        )
        own = merged(own, cpu, ("cpu",))
    in_force_bytes = max(0, found.memory_limit_in_bytes)
    if in_force_bytes != wanted.memory_limit_in_bytes:
        request_text = ((own.requests if own is not None else None) or {}).get("memory")
        memory = ResourceRequirements(
            requests={"memory": request_text} if request_text else None,  # nothing that a runtime knows of
            limits={"memory": quantity.from_bytes(in_force_bytes)} if in_force_bytes else None,
        )
        own = merged(own, memory, ("memory",))
    return own or ResourceRequirements()


def _has_own_cpus(found: cri.LinuxContainerResources, wanted: cri.LinuxContainerResources) -> bool:
    """Whether it runs without a quota because it has as many CPUs for itself as its limit says (the CPU manager's `static`)."""
    if found.cpu_quota >= 0 or not found.cpuset_cpus or not wanted.cpu_period:
        return False
    return len(cpuset.parse(found.cpuset_cpus)) * 1000 == quota_to_milli(wanted.cpu_quota, wanted.cpu_period)


def _same(one: ResourceRequirements | None, other: ResourceRequirements | None, name: str) -> bool:
    return figure(one, "requests", name) == figure(other, "requests", name) and figure(one, "limits", name) == figure(
        other, "limits", name
    )
