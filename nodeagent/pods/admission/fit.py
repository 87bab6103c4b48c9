"""Whether the node has room for a pod: what it asks for, against what the node has left.

Source: docs/facts/pod-lifecycle.md 3.1 (9), docs/facts/node-resources.md 4.5.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from nodeagent.pods.rules.model import StartFailure
from nodeagent.podspec.effective import parsed, requests_of
from nodeagent.podspec.kept_sum import requests_together
from nodeagent.podspec.node_fit import lacks
from nodeagent.podspec.pod import AgentPod

CPU = "cpu"


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


def shortages(
    pod: AgentPod,
    others: Sequence[AgentPod],
    allocatable: Mapping[str, str],
    together: Callable[[Sequence[AgentPod]], Mapping[str, Fraction]] = requests_together,
) -> list[Shortage]:
    """Every resource that the pod does not fit in, in the order in which they are reported. `together`: adds up.

    Extended resources that the node does not have at all are not asked for: somebody else sees to them.
    """
    requests = {
        name: amount for name, amount in requests_of(pod).items() if name in allocatable or not _is_extended(name)
    }
    used = together(others) if any(requests.values()) else {}
    missing = lacks(requests, parsed(allocatable), used=used, pod_count=len(others))
    return [
        Shortage(
            resource=lack.resource,
            requested=whole(lack.resource, lack.requested),
            used=whole(lack.resource, lack.used),
            capacity=whole(lack.resource, lack.allocatable),
        )
        for lack in missing
    ]


def whole(resource: str, value: Fraction) -> int:
    """An amount in the units of messages: thousandths of a core, else whole ones; rounded up."""
    return math.ceil(value * 1000) if resource == CPU else math.ceil(value)


def _is_extended(name: str) -> bool:
    """A name of somebody's own domain; huge pages, for example, are Kubernetes' own."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")
