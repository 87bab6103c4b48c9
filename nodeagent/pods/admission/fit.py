"""Whether the node has room for a pod: what it asks for, against what the node has left.

Source: docs/facts/pod-lifecycle.md 3.1 (9), docs/facts/node-resources.md 4.5.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from nodeagent.pods.rules.model import StartFailure
from nodeagent.podspec.effective import Amounts, effective_requests
from nodeagent.podspec.pod import AgentPod
from runtimes.kube import quantity

PODS, CPU = "pods", "cpu"
_FIT_ORDER = (CPU, "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """One resource of which too little is left. Amounts are whole units; CPU in thousandths of a core."""

    resource: str
    requested: int
    used: int
    capacity: int

    @property
    def failure(self) -> StartFailure:
        return StartFailure(
            reason=f"OutOf{self.resource}",
            message=f"Node didn't have enough resource: {self.resource}, requested: {self.requested}, "
            f"used: {self.used}, capacity: {self.capacity}",
        )

    @property
    def missing(self) -> int:
        """How much has to become free for the pod to fit."""
        return self.requested - (self.capacity - self.used)


def resources_of(active: AgentPod) -> Amounts:
    """What an active pod of the node takes up: the requests that it is allocated, overhead included."""
    return effective_requests(active)


def shortages(pod: AgentPod, others: Sequence[AgentPod], allocatable: Mapping[str, str]) -> list[Shortage]:
    """Every resource that the pod does not fit in, in the order in which they are reported.

    Extended resources that the node does not have at all are not asked for: somebody else sees to them.
    """
    found: list[Shortage] = []
    pod_limit = quantity.value(allocatable.get(PODS, "0"))
    if len(others) + 1 > pod_limit:
        found.append(Shortage(resource=PODS, requested=1, used=len(others), capacity=pod_limit))
    wanted = {name: value for name, value in effective_requests(pod).items() if value > 0}
    in_order = [name for name in _FIT_ORDER if name in wanted]
    in_order += sorted(
        name for name in wanted if name not in _FIT_ORDER and (name in allocatable or not _is_extended(name))
    )
    used = [resources_of(other) for other in others] if in_order else []
    for name in in_order:
        taken = sum((requests.get(name, Fraction(0)) for requests in used), Fraction(0))
        capacity = quantity.parse(allocatable.get(name, "0"))
        if taken + wanted[name] > capacity:
            requested, in_use, available = (whole(name, value) for value in (wanted[name], taken, capacity))
            found.append(Shortage(resource=name, requested=requested, used=in_use, capacity=available))
    return found


def whole(resource: str, value: Fraction) -> int:
    """An amount in the units of messages: thousandths of a core, else whole ones; rounded up."""
    return math.ceil(value * 1000) if resource == CPU else math.ceil(value)


def _is_extended(name: str) -> bool:
    """A name of somebody's own domain; huge pages, for example, are Kubernetes' own."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")
