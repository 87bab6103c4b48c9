"""MemoryQoS (a feature gate, cgroup v2): what reclaim leaves to whom, and from where on a container is slowed down. Pure.

Source: docs/facts/node-resources.md 2.4.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from nodeagent.podspec.qos import BURSTABLE, GUARANTEED

_NONE = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryQoS:
    """`throttling_factor`: how far between request and limit. `tiered`: requests are kept from reclaim."""

    throttling_factor: Fraction
    tiered: bool
    allocatable_bytes: int
    page_bytes: int


def container_files(
    memory_qos: MemoryQoS, requests: Mapping[str, Fraction], limits: Mapping[str, Fraction], *, qos: str
) -> dict[str, str]:
    """Of one container; its limits with those of its pod where it has none."""
    request, limit = requests.get("memory", _NONE), limits.get("memory", _NONE)
    files = reservation_files(memory_qos, requests, qos=qos)
    if request != limit:
        bound = limit or memory_qos.allocatable_bytes
        pages = math.floor((request + memory_qos.throttling_factor * (bound - request)) / memory_qos.page_bytes)
        if (high := pages * memory_qos.page_bytes) > request:
            files["memory.high"] = str(high)
    return files


def reservation_files(memory_qos: MemoryQoS, requests: Mapping[str, Fraction], *, qos: str) -> dict[str, str]:
    """Of a pod or a container: its request is kept for it, at all costs or as far as others can do without."""
    kept = str(math.ceil(requests.get("memory", _NONE)) if memory_qos.tiered else 0)
    return {"memory.min": kept if qos == GUARANTEED else "0", "memory.low": kept if qos == BURSTABLE else "0"}
