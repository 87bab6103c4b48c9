"""The quality-of-service class of a pod (docs/facts/node-resources.md 3.1)."""

from fractions import Fraction
from typing import Any

from nodeagent.apiserver.kinds.pods.requests import Amounts, add, amounts

Json = dict[str, Any]
_COUNTED = ("cpu", "memory")


def qos_class(spec: Json) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`, from CPU and memory alone."""
    if spec.get("resources") is not None:
        holders = [spec]
    else:
        holders = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    requests: Amounts = {}
    limits: Amounts = {}
    guaranteed = True
    for holder in holders:
        resources = holder.get("resources") or {}
        own = _counted(resources.get("limits"))
        add(requests, [_counted(resources.get("requests"))])
        add(limits, [own])
        guaranteed = guaranteed and len(own) == len(_COUNTED)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"


def _counted(resources: Json | None) -> dict[str, Fraction]:
    return {name: amount for name, amount in amounts(resources).items() if name in _COUNTED and amount > 0}
