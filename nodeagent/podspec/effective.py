"""What a pod and its containers ask for: effective requests and limits, QoS class, OOM score.

Amounts are exact fractions in the resource's own unit (cores, bytes, pieces). Source: docs/facts/node-resources.md 3.1 to 3.4.
"""

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Literal

from lightkube.models.core_v1 import Container, EphemeralContainer, ResourceRequirements

from nodeagent.podspec.pod import AgentPod
from runtimes.kube import quantity

Amounts = dict[str, Fraction]
Side = Literal["requests", "limits"]

GUARANTEED = "Guaranteed"
BURSTABLE = "Burstable"
BEST_EFFORT = "BestEffort"

GUARANTEED_OOM_SCORE_ADJ = -997
BEST_EFFORT_OOM_SCORE_ADJ = 1000
CRITICAL_PRIORITY = 2_000_000_000

_QOS_RESOURCES = ("cpu", "memory")


def amounts(resources: ResourceRequirements | None, side: Side) -> Amounts:
    """Requests or limits as exact amounts."""
    if resources is None:
        return {}
    given = resources.requests if side == "requests" else resources.limits
    return {name: quantity.parse(text) for name, text in (given or {}).items()}


def as_quantities(values: Mapping[str, Fraction]) -> dict[str, str]:
    """Amounts as canonical quantity texts: bytes with binary suffixes, everything else in units or thousandths."""
    return {name: _as_quantity(name, value) for name, value in sorted(values.items())}


def effective_requests(pod: AgentPod) -> Amounts:
    """What the pod asks for in all, overhead included."""
    return _plus(aggregated(pod, "requests"), overhead(pod))


def effective_limits(pod: AgentPod) -> Amounts:
    """What the pod may use in all; overhead is added to limits that exist."""
    total = aggregated(pod, "limits")
    for name, extra in overhead(pod).items():
        if total.get(name):
            total[name] += extra
    return total


def aggregated(pod: AgentPod, side: Side) -> Amounts:
    """The containers' sum and the init containers' peak, whichever is larger; pod-level values replace it. No overhead.

    A sidecar counts with the regular containers, and while init containers run with those declared after it.
    """
    running: Amounts = {}
    for container in pod.spec.containers:
        running = _plus(running, amounts(container.resources, side))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in pod.spec.initContainers or ():
        own = amounts(container.resources, side)
        if container.restartPolicy == "Always":
            sidecars = _plus(sidecars, own)
            peak = _most(peak, sidecars)
        else:
            peak = _most(peak, _plus(sidecars, own))
    total = _most(_plus(running, sidecars), peak)
    total.update({name: value for name, value in amounts(pod.spec.resources, side).items() if _is_pod_level(name)})
    return total


def qos_class(pod: AgentPod) -> str:
    """The class that the API has recorded, else the computed one; only CPU and memory count."""
    if pod.status is not None and pod.status.qosClass:
        return pod.status.qosClass
    if pod.spec.resources is not None:
        judged: list[ResourceRequirements | None] = [pod.spec.resources]
    else:
        judged = [item.resources for item in (*pod.spec.containers, *(pod.spec.initContainers or ()))]
    requests: Amounts = {}
    limits: Amounts = {}
    all_limited = True
    for resources in judged:
        own_limits = _positive(amounts(resources, "limits"))
        requests = _plus(requests, _positive(amounts(resources, "requests")))
        limits = _plus(limits, own_limits)
        all_limited = all_limited and len(own_limits) == len(_QOS_RESOURCES)
    if not requests and not limits:
        return BEST_EFFORT
    if all_limited and requests == limits:
        return GUARANTEED
    return BURSTABLE


def is_critical(pod: AgentPod) -> bool:
    """Static, mirror, or of a priority from 2000000000 on."""
    return pod.is_static or pod.is_mirror or (pod.spec.priority or 0) >= CRITICAL_PRIORITY


def oom_score_adj(pod: AgentPod, container: Container | EphemeralContainer, memory_capacity_bytes: int) -> int:
    """The container's oom_score_adj: the less of its request it is likely to exceed, the safer it is."""
    if is_critical(pod) and pod.spec.priorityClassName == "system-node-critical":
        return GUARANTEED_OOM_SCORE_ADJ
    qos = qos_class(pod)
    if qos == GUARANTEED:
        return GUARANTEED_OOM_SCORE_ADJ
    if qos == BEST_EFFORT:
        return BEST_EFFORT_OOM_SCORE_ADJ
    share = _pod_level_share(pod)
    score = _burstable_score(_memory_request(container) + share, memory_capacity_bytes)
    if _is_sidecar(pod, container):
        smallest = min(_memory_request(item) for item in pod.spec.containers)
        score = min(score, _burstable_score(smallest + share, memory_capacity_bytes))
    if score < 1000 + GUARANTEED_OOM_SCORE_ADJ:
        return 1000 + GUARANTEED_OOM_SCORE_ADJ
    return score - 1 if score == BEST_EFFORT_OOM_SCORE_ADJ else score


def _burstable_score(request_bytes: int, memory_capacity_bytes: int) -> int:
    return 1000 - (1000 * request_bytes) // max(memory_capacity_bytes, 1)


def _pod_level_share(pod: AgentPod) -> int:
    """What of a pod-level memory request is not asked for by containers, in equal shares, in bytes."""
    wanted = amounts(pod.spec.resources, "requests").get("memory")
    if wanted is None:
        return 0
    listed = [*pod.spec.containers, *(pod.spec.initContainers or ())]
    rest = math.ceil(wanted) - sum(_memory_request(item) for item in listed)
    return max(rest, 0) // len(listed)


def _memory_request(container: Container | EphemeralContainer) -> int:
    return math.ceil(amounts(container.resources, "requests").get("memory", Fraction(0)))


def _is_sidecar(pod: AgentPod, container: Container | EphemeralContainer) -> bool:
    return any(item.name == container.name and item.restartPolicy == "Always" for item in pod.spec.initContainers or ())


def overhead(pod: AgentPod) -> Amounts:
    """What the pod's RuntimeClass costs by itself."""
    return {name: quantity.parse(text) for name, text in (pod.spec.overhead or {}).items()}


def _plus(one: Mapping[str, Fraction], other: Mapping[str, Fraction]) -> Amounts:
    return {name: one.get(name, Fraction(0)) + other.get(name, Fraction(0)) for name in _names(one, other)}


def _most(one: Mapping[str, Fraction], other: Mapping[str, Fraction]) -> Amounts:
    return {name: max(one.get(name, Fraction(0)), other.get(name, Fraction(0))) for name in _names(one, other)}


def _names(one: Iterable[str], other: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys((*one, *other))


def _positive(values: Mapping[str, Fraction]) -> Amounts:
    return {name: value for name, value in values.items() if name in _QOS_RESOURCES and value > 0}


def _is_pod_level(name: str) -> bool:
    return name in _QOS_RESOURCES or name.startswith("hugepages-")


def _as_quantity(name: str, value: Fraction) -> str:
    if name == "memory" or name == "ephemeral-storage" or name.startswith("hugepages-"):
        return quantity.from_bytes(math.ceil(value))
    return quantity.from_milli(math.ceil(value * 1000))
