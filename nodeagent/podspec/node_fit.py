"""Whether a node has room for a pod: what the pod asks for, against what the node's pods leave of its allocatable.

Source: docs/facts/node-resources.md 4.5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

PODS = "pods"
_FIRST = ("cpu", "memory", "ephemeral-storage")
_NONE = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """One resource of which too little is left, in its own unit (cores, bytes, pieces)."""

    resource: str
    requested: Fraction
    used: Fraction
    allocatable: Fraction


def lacks(
    requests: Mapping[str, Fraction],
    allocatable: Mapping[str, Fraction],
    *,
    used: Mapping[str, Fraction],
    pod_count: int,
) -> list[Lack]:
    """Every resource that one more pod with these `requests` does not fit in: pods, CPU, memory, disk, others by name.

    `used` and `pod_count`: of the node's pods. A request of nothing always fits.
    """
    found: list[Lack] = []
    if pod_count + 1 > (pods := allocatable.get(PODS, _NONE)):
        found.append(Lack(resource=PODS, requested=Fraction(1), used=Fraction(pod_count), allocatable=pods))
    wanted = {name: amount for name, amount in requests.items() if amount > 0}
    for name in [*(name for name in _FIRST if name in wanted), *sorted(wanted.keys() - _FIRST)]:
        taken, there = used.get(name, _NONE), allocatable.get(name, _NONE)
        if taken + wanted[name] > there:
            found.append(Lack(resource=name, requested=wanted[name], used=taken, allocatable=there))
    return found
