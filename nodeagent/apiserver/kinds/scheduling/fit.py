"""Whether a pod fits on a node, and if not, why, in the words of kube-scheduler.

The checks run in the scheduler's order and stop at the first that refuses; only the resource check names several reasons.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from typing import Any, Final

from nodeagent.apiserver.kinds.pods.containers import containers
from nodeagent.apiserver.kinds.pods.requests import Amounts, add, amounts, effective
from nodeagent.apiserver.kinds.scheduling.selectors import matches_node, untolerated

Json = dict[str, Any]
Port = tuple[str, str, int]

AFFINITY: Final = "node(s) didn't match Pod's node affinity/selector"
PORTS: Final = "node(s) didn't have free ports for the requested pod ports"
UNSCHEDULABLE: Final = "node(s) were unschedulable"
_UNSCHEDULABLE_TAINT: Final = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_ANY_ADDRESS: Final = frozenset({"", "0.0.0.0"})


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
class NodeView:
    """What the scheduler looks at of a Node. Two equal views give equal answers."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Json, ...]
    unschedulable: bool
    allocatable: Mapping[str, Fraction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one pod takes from its node."""

    requests: Mapping[str, Fraction]
    ports: frozenset[Port]


@dataclass(slots=True, kw_only=True)
class Usage:
    """What all pods of a node take together."""

    pods: int = 0
    requests: Amounts = field(default_factory=dict)
    ports: list[Port] = field(default_factory=list)

    def take(self, demand: Demand) -> None:
        self.pods += 1
        add(self.requests, [dict(demand.requests)])
        self.ports.extend(demand.ports)


def node_view(node: Json) -> NodeView:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    return NodeView(
        name=node["metadata"]["name"],
        labels=dict(node["metadata"].get("labels") or {}),
        taints=tuple(spec.get("taints") or ()),
        unschedulable=bool(spec.get("unschedulable")),
        allocatable=amounts(status.get("allocatable") or status.get("capacity")),
    )


def demand(spec: Json, status: Json | None = None) -> Demand:
    """`status` of a pod that has its node: while it is resized it counts with the most of what it wants and still has."""
    return Demand(requests=effective(charged(spec, status or {}), "requests"), ports=frozenset(_host_ports(spec)))


def charged(spec: Json, status: Json) -> Json:
    """The spec with every container's requests as the node is charged for them (docs/facts/node-resources.md 3.2)."""
    known = {
        item.get("name"): item
        for name in ("containerStatuses", "initContainerStatuses")
        for item in status.get(name) or ()
    }
    if all(_settled(container, known.get(container.get("name"))) for _, container in containers(spec)):
        return spec
    infeasible = any(
        condition.get("type") == "PodResizePending" and condition.get("reason") == "Infeasible"
        for condition in status.get("conditions") or ()
    )
    return {
        **spec,
        **{
            name: [_charged(item, known.get(item.get("name")), infeasible) for item in spec[name]]
            for name in ("containers", "initContainers")
            if spec.get(name)
        },
    }


def _settled(container: Json, status: Json | None) -> bool:
    """Whether the node says nothing else than the spec; it says nothing of a container that was never made."""
    wanted = (container.get("resources") or {}).get("requests") or {}
    said = (part for part in _said(status) if part)
    return all(part == wanted for part in said)


def _said(status: Json | None) -> tuple[Json, Json]:
    """(allocated requests, requests in force)."""
    found = status or {}
    return found.get("allocatedResources") or {}, (found.get("resources") or {}).get("requests") or {}


def _charged(container: Json, status: Json | None, infeasible: bool) -> Json:
    resources = container.get("resources") or {}
    parts = [part for part in _said(status) if part]
    if not parts or not infeasible:
        parts.append(resources.get("requests") or {})
    most: Json = {}
    for part in parts:
        for name, amount in amounts(part).items():
            if name not in most or amount > amounts({name: most[name]})[name]:
                most[name] = part[name]
    return {**container, "resources": {**resources, "requests": most}}


def refusal(spec: Json, wanted: Demand, node: NodeView, usage: Usage) -> Refusal | None:
    """None when the node takes the pod."""
    tolerations = spec.get("tolerations") or ()
    if node.unschedulable and untolerated([_UNSCHEDULABLE_TAINT], tolerations, ("NoSchedule",)):
        return Refusal(reasons=(UNSCHEDULABLE,), remedy=Remedy.NONE)
    taint = untolerated(node.taints, tolerations, ("NoSchedule", "NoExecute"))
    if taint is not None:
        reason = f"node(s) had untolerated taint {{{taint.get('key')}: {taint.get('value') or ''}}}"
        return Refusal(reasons=(reason,), remedy=Remedy.NONE)
    if not matches_node(spec, dict(node.labels), node.name):
        return Refusal(reasons=(AFFINITY,), remedy=Remedy.NONE)
    if any(_collide(mine, theirs) for mine in wanted.ports for theirs in usage.ports):
        return Refusal(reasons=(PORTS,), remedy=Remedy.PREEMPTION)
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


def _resources(requests: Mapping[str, Fraction], node: NodeView, usage: Usage) -> Refusal | None:
    reasons: list[str] = []
    possible = True
    if "pods" in node.allocatable and usage.pods + 1 > node.allocatable["pods"]:
        reasons.append("Too many pods")
    for name, amount in requests.items():
        if amount == 0:
            continue
        available = node.allocatable.get(name, Fraction(0))
        if usage.requests.get(name, Fraction(0)) + amount > available:
            reasons.append(f"Insufficient {name}")
            possible = possible and amount <= available
    if not reasons:
        return None
    return Refusal(reasons=tuple(reasons), remedy=Remedy.PREEMPTION if possible else Remedy.NONE)


def _host_ports(spec: Json) -> Iterable[Port]:
    for _, container in containers(spec, "containers", "initContainers"):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or "", port.get("protocol") or "TCP", port["hostPort"]


def _collide(mine: Port, theirs: Port) -> bool:
    """Same protocol and number, on the same address or with a wildcard on either side."""
    if mine[1:] != theirs[1:]:
        return False
    return mine[0] == theirs[0] or mine[0] in _ANY_ADDRESS or theirs[0] in _ANY_ADDRESS
