"""Whether a pod fits on a node, and if not, why, in the words of kube-scheduler.

The checks run in the scheduler's order and stop at the first that refuses; only the resource check names several reasons.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction

import msgspec
from lightkube.models.core_v1 import PodSpec, Taint

from nodeagent.podspec.charged import charged
from nodeagent.podspec.effective import Amounts, add, effective_requests, parsed
from nodeagent.podspec.host_ports import HostPort, conflict, host_ports
from nodeagent.podspec.node_affinity import matches_node
from nodeagent.podspec.node_fit import PODS, lacks
from nodeagent.podspec.taints import untolerated
from runtimes.kube.json_object import JsonObject

AFFINITY = "node(s) didn't match Pod's node affinity/selector"
PORTS_TAKEN = "node(s) didn't have free ports for the requested pod ports"
UNSCHEDULABLE = "node(s) were unschedulable"
_UNSCHEDULABLE_TAINT = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


class Remedy(Enum):
    """Whether removing other pods could help."""

    PREEMPTION = "preemption"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why one node does not take a pod."""

    reasons: tuple[str, ...]
    remedy: Remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """What the scheduler looks at of a Node. Two that are equal give equal answers."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool
    allocatable: Mapping[str, Fraction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one pod takes from its node."""

    requests: Mapping[str, Fraction]
    ports: frozenset[HostPort]


@dataclass(slots=True, kw_only=True)
class Usage:
    """What all pods of a node take together."""

    pods: int = 0
    requests: Amounts = field(default_factory=dict)
    ports: list[HostPort] = field(default_factory=list)

    def take(self, demand: Demand) -> None:
        self.pods += 1
        add(self.requests, demand.requests)
        self.ports.extend(demand.ports)


def node_info(node: JsonObject) -> NodeInfo:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return NodeInfo(
        name=node["metadata"]["name"],
        labels=dict(node["metadata"].get("labels") or {}),
        taints=msgspec.convert(spec.get("taints") or (), tuple[Taint, ...]),
        unschedulable=bool(spec.get("unschedulable")),
        allocatable=parsed(status.get("allocatable") or status.get("capacity")),
    )


def demand(spec: PodSpec, status: JsonObject | None = None) -> Demand:
    """`status` of a pod that has its node: while it is resized it counts with the most of what it wants and still has."""
    counted = spec if status is None else charged(spec, _held(status), infeasible=_infeasible(status))
    return Demand(requests=effective_requests(counted), ports=host_ports(spec))


def _held(status: JsonObject) -> dict[str, list[JsonObject]]:
    """By container, the requests that the node says are allocated and in force; nothing of one that was never made."""
    return {
        item.get("name") or "": [
            item.get("allocatedResources") or {},
            (item.get("resources") or {}).get("requests") or {},
        ]
        for name in ("containerStatuses", "initContainerStatuses")
        for item in status.get(name) or ()
    }


def _infeasible(status: JsonObject) -> bool:
    """Whether the node can never grant what the pod's spec asks for."""
    return any(
        condition.get("type") == "PodResizePending" and condition.get("reason") == "Infeasible"
        for condition in status.get("conditions") or ()
    )


def refusal(spec: PodSpec, wanted: Demand, node: NodeInfo, usage: Usage) -> Refusal | None:
    """None when the node takes the pod."""
    tolerations = spec.tolerations or ()
    if node.unschedulable and untolerated([_UNSCHEDULABLE_TAINT], tolerations, ("NoSchedule",)):
        return Refusal(reasons=(UNSCHEDULABLE,), remedy=Remedy.NONE)
    taint = untolerated(node.taints, tolerations, ("NoSchedule", "NoExecute"))
    if taint is not None:
        reason = f"node(s) had untolerated taint {{{taint.key}: {taint.value or ''}}}"
        return Refusal(reasons=(reason,), remedy=Remedy.NONE)
    if not matches_node(spec, node.name, node.labels):
        return Refusal(reasons=(AFFINITY,), remedy=Remedy.NONE)
    if conflict(wanted.ports, usage.ports):
        return Refusal(reasons=(PORTS_TAKEN,), remedy=Remedy.PREEMPTION)
    return _resources(wanted.requests, node, usage)


def explain(refusals: Iterable[Refusal], *, never_preempts: bool = False) -> str:
    """`0/1 nodes are available: 1 Insufficient cpu. preemption: …` of all nodes' refusals."""
    listed = list(refusals)
    if not listed:
        return "no nodes available to schedule pods"
    total = len(listed)
    counts: dict[str, int] = {}
    for item in listed:
        for reason in item.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    text = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
    return f"0/{total} nodes are available: {text}. {_preemption(listed, never_preempts=never_preempts)}"


def unresolvable(node_count: int, reason: str) -> str:
    """The message when something other than a node stands in the way, such as a claim that does not exist."""
    tail = f"{node_count} Preemption is not helpful for scheduling."
    return f"0/{node_count} nodes are available: {reason}. preemption: 0/{node_count} nodes are available: {tail}"


def _preemption(refusals: list[Refusal], *, never_preempts: bool) -> str:
    if never_preempts:
        return "preemption: not eligible due to preemptionPolicy=Never."
    total = len(refusals)
    helpless = sum(1 for item in refusals if item.remedy is Remedy.NONE)
    parts = []
    if total - helpless:
        parts.append(f"{total - helpless} No preemption victims found for incoming pod")
    if helpless:
        parts.append(f"{helpless} Preemption is not helpful for scheduling")
    return f"preemption: 0/{total} nodes are available: {', '.join(parts)}."


def _resources(requests: Mapping[str, Fraction], node: NodeInfo, usage: Usage) -> Refusal | None:
    missing = lacks(requests, node.allocatable, used=usage.requests, pod_count=usage.pods)
    if not missing:
        return None
    reasons = tuple("Too many pods" if lack.resource == PODS else f"Insufficient {lack.resource}" for lack in missing)
    possible = all(lack.resource == PODS or lack.requested <= lack.allocatable for lack in missing)
    return Refusal(reasons=reasons, remedy=Remedy.PREEMPTION if possible else Remedy.NONE)
