"""What a pod asks of a node: effective requests and limits (docs/facts/node-resources.md 3.2), exact fractions by resource."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from nodeagent.apiserver.kinds.pods.containers import is_sidecar
from runtimes.kube import quantity

Json = dict[str, Any]
Amounts = dict[str, Fraction]
POD_LEVEL = ("cpu", "memory")


def effective(spec: Json, which: str) -> Amounts:
    """`which` is "requests" or "limits". Pod-level values replace the sum; overhead is added last."""
    total = container_total(spec, which)
    for name, amount in amounts((spec.get("resources") or {}).get(which)).items():
        if pod_level(name):
            total[name] = amount
    for name, amount in amounts(spec.get("overhead")).items():
        if which == "requests" or total.get(name):
            total[name] = total.get(name, Fraction(0)) + amount
    return total


def container_total(spec: Json, which: str) -> Amounts:
    """The larger of what runs together in the end, and of every step of the initialisation."""
    running: Amounts = {}
    add(running, (_of(c, which) for c in spec.get("containers") or ()))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = _of(container, which)
        step = dict(sidecars)
        add(step, [own])
        if is_sidecar(container):
            sidecars = step
        for name, amount in step.items():
            peak[name] = max(peak.get(name, Fraction(0)), amount)
    add(running, [sidecars])
    for name, amount in peak.items():
        running[name] = max(running.get(name, Fraction(0)), amount)
    return running


def add(total: Amounts, parts: Iterable[Amounts]) -> None:
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, Fraction(0)) + amount


def amounts(resources: Json | None) -> Amounts:
    """Parse a resource map, leaving out what is no quantity."""
    parsed: Amounts = {}
    for name, text in (resources or {}).items():
        try:
            parsed[name] = quantity.parse(text)
        except (quantity.InvalidQuantity, AttributeError):
            continue
    return parsed


def pod_level(name: str) -> bool:
    """Whether a resource may be set for a whole pod."""
    return name in POD_LEVEL or name.startswith("hugepages-")


def _of(container: Json, which: str) -> Amounts:
    return amounts((container.get("resources") or {}).get(which))
