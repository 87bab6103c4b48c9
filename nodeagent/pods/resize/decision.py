"""Which pending resizes are looked at first, and what becomes of each: pure rules. Source: facts/pod-lifecycle.md 4.7."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lightkube.models.core_v1 import Container

from nodeagent.pods.resize.allocation import RESIZABLE, figure, increases, resizable_containers
from nodeagent.pods.resize.conditions import DEFERRED, INFEASIBLE
from nodeagent.pods.rules.model import StartFailure
from nodeagent.podspec.critical import is_critical
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.qos import BURSTABLE, GUARANTEED, qos_class

RESTART = "RestartContainer"
SWAP_TEXT = "In-place resize of containers with swap is not supported."
CPU_MANAGER_TEXT = 'Resize is infeasible for Guaranteed Pods alongside CPU Manager policy "static"'
MEMORY_MANAGER_TEXT = 'Resize is infeasible for Guaranteed Pods alongside Memory Manager policy "Static"'
_LATEST = datetime.max.replace(tzinfo=UTC)

Admit = Callable[[AgentPod, Sequence[AgentPod]], StartFailure | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeRules:
    """What of the node's configuration rules a resize out."""

    static_cpu_manager: bool = False
    static_memory_manager: bool = False
    limited_swap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingResize:
    """A pod whose spec asks for other resources than it has. `since`: when it was first put off."""

    wanted: AgentPod
    allocated: AgentPod
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """`condition`: Deferred or Infeasible. `reason`: for the event. `message`: for both."""

    condition: str
    reason: str
    message: str


def in_order(pending: Iterable[PendingResize]) -> list[PendingResize]:
    """What gives back before what takes; then by priority, QoS class, and time waited."""
    return sorted(pending, key=_rank)


def decide(resize: PendingResize, others: Sequence[AgentPod], rules: ResizeRules, admit: Admit) -> Refused | None:
    """None: the pod gets what it asks for."""
    text = infeasible(resize.wanted, resize.allocated, rules)
    if text:
        return Refused(condition=INFEASIBLE, reason=INFEASIBLE, message=text)
    refusal = admit(resize.wanted, others)
    if refusal is not None:
        return Refused(condition=DEFERRED, reason=refusal.reason, message=refusal.message)
    return None


def infeasible(wanted: AgentPod, allocated: AgentPod, rules: ResizeRules) -> str:
    """Why this node can never do that; empty: it may."""
    changed = _changed(wanted, allocated)
    if rules.limited_swap and any(
        "memory" in names and restart_policy(before, "memory") != RESTART and _has_swap(pod, container)
        for now, before, names in changed
        for pod, container in ((wanted, now), (allocated, before))
    ):
        return SWAP_TEXT
    if qos_class(allocated.spec, allocated.status) == GUARANTEED:
        names = {name for _now, _before, listed in changed for name in listed}
        if rules.static_cpu_manager and "cpu" in names:
            return CPU_MANAGER_TEXT
        if rules.static_memory_manager and "memory" in names:
            return MEMORY_MANAGER_TEXT
    return ""


def restart_policy(container: Container, resource: str) -> str:
    """What a container says about changing that resource while it runs."""
    policies = container.resizePolicy or ()
    return next((item.restartPolicy for item in policies if item.resourceName == resource), "NotRequired")


def _rank(resize: PendingResize) -> tuple[bool, int, bool, datetime]:
    spec = resize.allocated.spec
    return (
        increases(resize.allocated, resize.wanted),
        -(spec.priority or 0),
        qos_class(resize.allocated.spec, resize.allocated.status) != GUARANTEED,
        resize.since or _LATEST,
    )


def _changed(wanted: AgentPod, allocated: AgentPod) -> list[tuple[Container, Container, tuple[str, ...]]]:
    """(container as wanted, as allocated, the resources that differ)."""
    before = {container.name: container for container in resizable_containers(allocated)}
    found = []
    for container in resizable_containers(wanted):
        old = before.get(container.name)
        if old is None:
            continue
        names = tuple(name for name in RESIZABLE if _differs(container, old, name))
        if names:
            found.append((container, old, names))
    return found


def _differs(one: Container, other: Container, name: str) -> bool:
    return figure(one.resources, "requests", name) != figure(other.resources, "requests", name) or figure(
        one.resources, "limits", name
    ) != figure(other.resources, "limits", name)


def _has_swap(pod: AgentPod, container: Container) -> bool:
    """Whether the container may swap on a node with LimitedSwap. Source: facts/node-resources.md 2.5."""
    if qos_class(pod.spec, pod.status) != BURSTABLE or is_critical(pod):
        return False
    request = figure(container.resources, "requests", "memory")
    return bool(request) and request != figure(container.resources, "limits", "memory")
