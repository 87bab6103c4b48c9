"""The quality-of-service class of a pod, and what the kernel's OOM killer is told of its containers.

Source: docs/facts/node-resources.md 3.1 and 3.3.
"""

import math
from fractions import Fraction

from lightkube.models.core_v1 import Container, EphemeralContainer, PodSpec, PodStatus, ResourceRequirements

from nodeagent.podspec.containers import is_sidecar
from nodeagent.podspec.effective import Amounts, add, amounts
from runtimes.kube import quantity

GUARANTEED = "Guaranteed"
BURSTABLE = "Burstable"
BEST_EFFORT = "BestEffort"

GUARANTEED_OOM_SCORE_ADJ = -997
BEST_EFFORT_OOM_SCORE_ADJ = 1000

_COUNTED = ("cpu", "memory")


def qos_class(spec: PodSpec, status: PodStatus | None = None) -> str:
    """The class that the API has recorded in `status`, else the computed one; only CPU and memory count."""
    if status is not None and status.qosClass:
        recorded: str = status.qosClass
        return recorded
    if spec.resources is not None:
        judged: list[ResourceRequirements | None] = [spec.resources]
    else:
        judged = [item.resources for item in (*spec.containers, *(spec.initContainers or ()))]
    requests: Amounts = {}
    limits: Amounts = {}
    all_limited = True
    for resources in judged:
        own_limits = _counted(resources.limits) if resources is not None else {}
        add(requests, _counted(resources.requests) if resources is not None else {})
        add(limits, own_limits)
        all_limited = all_limited and len(own_limits) == len(_COUNTED)
    if not requests and not limits:
        return BEST_EFFORT
    return GUARANTEED if all_limited and requests == limits else BURSTABLE


def oom_score_adj(
    spec: PodSpec, container: Container | EphemeralContainer, memory_capacity_bytes: int, *, qos: str, critical: bool
) -> int:
    """The container's oom_score_adj: the less of its request it is likely to exceed, the safer it is."""
    if qos == GUARANTEED or (critical and spec.priorityClassName == "system-node-critical"):
        return GUARANTEED_OOM_SCORE_ADJ
    if qos == BEST_EFFORT:
        return BEST_EFFORT_OOM_SCORE_ADJ
    share = _pod_level_share(spec)
    score = _burstable_score(_memory_request(container) + share, memory_capacity_bytes)
    if _is_sidecar_of(spec, container):
        smallest = min(_memory_request(item) for item in spec.containers)
        score = min(score, _burstable_score(smallest + share, memory_capacity_bytes))
    if score < 1000 + GUARANTEED_OOM_SCORE_ADJ:
        return 1000 + GUARANTEED_OOM_SCORE_ADJ
    return score - 1 if score == BEST_EFFORT_OOM_SCORE_ADJ else score


def _counted(quantities: dict[str, str] | None) -> Amounts:
    listed = quantities or {}
    return {
        name: value
        for name in _COUNTED
        if (text := listed.get(name)) is not None and (value := quantity.parse(text)) > 0
    }


def _burstable_score(request_bytes: int, memory_capacity_bytes: int) -> int:
    return 1000 - (1000 * request_bytes) // max(memory_capacity_bytes, 1)


def _pod_level_share(spec: PodSpec) -> int:
    """What of a pod-level memory request is not asked for by containers, in equal shares, in bytes."""
    wanted = amounts(spec.resources, "requests").get("memory")
    if wanted is None:
        return 0
    listed = [*spec.containers, *(spec.initContainers or ())]
    rest = math.ceil(wanted) - sum(_memory_request(item) for item in listed)
    return max(rest, 0) // len(listed)


def _memory_request(container: Container | EphemeralContainer) -> int:
    return math.ceil(amounts(container.resources, "requests").get("memory", Fraction(0)))


def _is_sidecar_of(spec: PodSpec, container: Container | EphemeralContainer) -> bool:
    return any(item.name == container.name and is_sidecar(item) for item in spec.initContainers or ())
