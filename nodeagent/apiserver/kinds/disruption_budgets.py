"""PodDisruptionBudget: how many of some pods may be evicted now. Rules alone; who counts is controllers/disruption.py.

Source: docs/facts/embedded-api.md 11, 16.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from nodeagent.apiserver.kinds.base import Kind, name_of
from nodeagent.apiserver.kinds.endpoints import is_ready
from nodeagent.apiserver.kinds.label_selector import matches_labels
from nodeagent.apiserver.kinds.timestamps import epoch, rfc3339
from nodeagent.podspec.validation.scheduling import label_selector
from runtimes.kube.field_errors import FieldError, invalid, not_supported
from runtimes.kube.json_object import JsonObject

RESOURCE = "poddisruptionbudgets.policy"
DELETION_TIMEOUT_SECONDS = 120.0  # so long an evicted pod counts as gone before it is
ALWAYS_ALLOW, IF_HEALTHY = "AlwaysAllow", "IfHealthyBudget"
_CONDITION = "DisruptionAllowed"
_LIMITS = ("minAvailable", "maxUnavailable")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


class DisruptionBudgetKind(Kind):
    @override
    def validate(self, obj: JsonObject) -> list[FieldError]:
        spec = obj.get("spec") or {}
        errors: list[FieldError] = []
        if all(spec.get(field) is not None for field in _LIMITS):
            errors.append(invalid("spec", "", "minAvailable and maxUnavailable cannot be both set"))
        for field in _LIMITS:
            if spec.get(field) is not None:
                errors += _limit(f"spec.{field}", spec[field])
        policy = spec.get("unhealthyPodEvictionPolicy")
        if policy is not None and policy not in (ALWAYS_ALLOW, IF_HEALTHY):
            errors.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, (ALWAYS_ALLOW, IF_HEALTHY)))
        return errors + label_selector("spec.selector", spec.get("selector"))

    @override
    def validate_update(self, new: JsonObject, old: JsonObject, subresource: str | None) -> list[FieldError]:
        if subresource != "status":
            return super().validate_update(new, old, subresource)
        status = new.get("status") or {}
        text = "must be greater than or equal to 0"
        return [invalid(f"status.{field}", status[field], text) for field in _COUNTS if (status.get(field) or 0) < 0]


def _limit(path: str, value: Any) -> list[FieldError]:
    if isinstance(value, int):
        return [invalid(path, value, "must be greater than or equal to 0")] if value < 0 else []
    if not (value.endswith("%") and value[:-1].isdecimal()):
        text = (
            "a valid percent string must be a numeric followed by an ending '%' (e.g. '1%',  or '93%', regex used for"
            " validation is '[0-9]+%')"
        )
        return [invalid(path, value, text)]
    return [invalid(path, value, "Must not be greater than 100%")] if int(value[:-1]) > 100 else []


def covers(budget: JsonObject, pod: JsonObject) -> bool:
    """Whether a budget is about a pod of its namespace."""
    return matches_labels((budget.get("spec") or {}).get("selector"), pod["metadata"].get("labels") or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What a budget comes to. `error`: why it cannot be told, and nothing may be evicted.

    `unmanaged`: pods without a controller, which a share of its replicas says nothing about. `overdue`: pods that were evicted
    and are still there. `look_again`: when the next one will be, in epoch
    seconds, as all times here.
    """

    status: JsonObject
    error: str = ""
    unmanaged: tuple[str, ...] = ()
    overdue: tuple[str, ...] = ()
    look_again: float | None = None


def count(budget: JsonObject, pods: Sequence[JsonObject], now: float) -> Count:
    """`pods`: those that the budget covers."""
    before = budget.get("status") or {}
    evicted, overdue = _evicted(before.get("disruptedPods") or {}, pods, now)
    again = min((at + DELETION_TIMEOUT_SECONDS for at in evicted.values()), default=None)
    unmanaged = () if _counts_pods(budget) else tuple(name_of(pod) for pod in pods if not _has_controller(pod))
    if error := _unknown_controller(budget, pods):
        zeros = dict.fromkeys(_COUNTS, 0)
        status = {**zeros, **before, "disruptionsAllowed": 0, "conditions": conditions(budget, 0, error, now)}
        return Count(status=status, error=error, unmanaged=unmanaged, overdue=overdue, look_again=again)
    expected = len(pods) if _counts_pods(budget) else 0  # what their controllers ask for; there are none here
    desired = _desired(budget, expected)
    healthy = sum(
        is_ready(pod) and not pod["metadata"].get("deletionTimestamp") and name_of(pod) not in evicted for pod in pods
    )
    allowed = max(0, healthy - desired) if expected > 0 else 0
    status = {
        "observedGeneration": budget["metadata"].get("generation") or 0,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "conditions": conditions(budget, allowed, "", now),
    }
    if evicted:
        status["disruptedPods"] = {name: rfc3339(at) for name, at in evicted.items()}
    return Count(status=status, unmanaged=unmanaged, overdue=overdue, look_again=again)


def conditions(budget: JsonObject, allowed: int, error: str, now: float) -> list[JsonObject]:
    """All of them, with DisruptionAllowed as it is with so many evictions allowed."""
    before = (budget.get("status") or {}).get("conditions") or []
    reason = "SyncFailed" if error else "SufficientPods" if allowed > 0 else "InsufficientPods"
    made = {
        "type": _CONDITION,
        "status": "True" if allowed > 0 else "False",
        "observedGeneration": budget["metadata"].get("generation") or 0,
        "lastTransitionTime": rfc3339(now),
        "reason": reason,
        "message": error,
    }
    for old in before:
        if old["type"] == _CONDITION and old["status"] == made["status"]:
            made["lastTransitionTime"] = old["lastTransitionTime"]
    return [*(old for old in before if old["type"] != _CONDITION), made]


def _counts_pods(budget: JsonObject) -> bool:
    """Whether the limit is a number of pods; else it is about what their controllers ought to have."""
    return isinstance((budget.get("spec") or {}).get("minAvailable"), int)


def _desired(budget: JsonObject, expected: int) -> int:
    spec = budget.get("spec") or {}
    if (least := spec.get("minAvailable")) is not None:
        return _scaled(least, expected)
    if (most := spec.get("maxUnavailable")) is not None:
        return max(0, expected - _scaled(most, expected))
    return 0


def _scaled(value: int | str, whole: int) -> int:
    """Of a share, rounded up."""
    return value if isinstance(value, int) else -(-int(value[:-1]) * whole // 100)


def _has_controller(pod: JsonObject) -> bool:
    return any(owner.get("controller") for owner in pod["metadata"].get("ownerReferences") or ())


def _unknown_controller(budget: JsonObject, pods: Sequence[JsonObject]) -> str:
    """A share is of what pods' controllers ask for, and this API has no kind that controls pods."""
    managed = [] if _counts_pods(budget) else [pod for pod in pods if _has_controller(pod)]
    return f'found no controllers for pod "{name_of(managed[0])}"' if managed else ""


def _evicted(
    disrupted: Mapping[str, str], pods: Sequence[JsonObject], now: float
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Pods whose eviction was granted and that do not show it yet, and those that should have gone by now."""
    there = {name_of(pod) for pod in pods if not pod["metadata"].get("deletionTimestamp")}
    times = {name: epoch(text) for name, text in disrupted.items() if name in there}
    waiting = {name: at for name, at in times.items() if at + DELETION_TIMEOUT_SECONDS > now}
    return waiting, tuple(name for name in times if name not in waiting)
