"""How much of each resource the node has, and how much of it pods may use. Pure.

Source: docs/facts/node-resources.md 4.1, 4.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from nodeagent.config.eviction import parse_amount
from nodeagent.node.facts import Machine
from runtimes.kube import quantity

CPU, MEMORY, STORAGE, PODS = "cpu", "memory", "ephemeral-storage", "pods"


class InvalidReservation(ValueError):
    """More is reserved than there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCount:
    """Devices of one extended resource: all that there are, and the healthy ones among them."""

    total: int
    healthy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the configuration says. Reservations and thresholds map resource or signal names to quantities.

    `eviction_hard` values may also be percentages ("10%"); only memory.available and nodefs.available count here.
    `reserved_cpus`: number of CPUs in reservedSystemCPUs, 0 for none.
    """

    max_pods: int = 110
    pods_per_core: int = 0
    system_reserved: Mapping[str, str] = field(default_factory=dict)
    kube_reserved: Mapping[str, str] = field(default_factory=dict)
    eviction_hard: Mapping[str, str] = field(default_factory=dict)
    reserved_cpus: int = 0


def capacity(
    machine: Machine, limits: Limits, storage_bytes: int | None, devices: Mapping[str, DeviceCount]
) -> dict[str, str]:
    """Return status.capacity. `storage_bytes` None: local storage is not accounted for."""
    found = {
        CPU: str(machine.cpus),
        MEMORY: quantity.from_bytes(machine.memory_bytes),
        PODS: str(pods(machine, limits)),
    }
    for size_bytes, count in machine.hugepages.items():
        found[hugepage_name(size_bytes)] = quantity.from_bytes(size_bytes * count)
    if storage_bytes is not None:
        found[STORAGE] = quantity.from_bytes(storage_bytes)
    found |= {name: str(count.total) for name, count in devices.items()}
    return found


def allocatable(capacity: Mapping[str, str], limits: Limits, devices: Mapping[str, DeviceCount]) -> dict[str, str]:
    """Return status.allocatable: capacity less reservations and hard eviction thresholds, never below 0."""
    found = {}
    for name, total in capacity.items():
        if name in devices:
            found[name] = str(devices[name].healthy)
            continue
        left = quantity.parse(total) - reserved(name, limits) - threshold(name, total, limits)
        if name == MEMORY:
            left -= sum(quantity.parse(pages) for key, pages in capacity.items() if key.startswith("hugepages-"))
        found[name] = _text(name, max(left, Fraction(0)))
    return found


def check_reservations(capacity: Mapping[str, str], limits: Limits) -> None:
    """Raise InvalidReservation when more is reserved than there is."""
    wrong = [
        f'Resource "{name}" has a reservation of {_text(name, taken)} but capacity of {total}. '
        f"Expected capacity >= reservation."
        for name, total in capacity.items()
        if (taken := reserved(name, limits) + threshold(name, total, limits)) > quantity.parse(total)
    ]
    if wrong:
        raise InvalidReservation(f"invalid Node Allocatable configuration. {' '.join(wrong)}")


def reserved(name: str, limits: Limits) -> Fraction:
    """What system and agent keep of a resource."""
    if name == CPU and limits.reserved_cpus:
        return Fraction(limits.reserved_cpus)
    parts = (limits.system_reserved.get(name, "0"), limits.kube_reserved.get(name, "0"))
    return sum((quantity.parse(part) for part in parts), Fraction(0))


def pods(machine: Machine, limits: Limits) -> int:
    if limits.pods_per_core > 0:
        return min(limits.max_pods, machine.cpus * limits.pods_per_core)
    return limits.max_pods


def hugepage_name(size_bytes: int) -> str:
    """The resource name of a huge page size: 2097152 -> "hugepages-2Mi"."""
    return f"hugepages-{quantity.from_bytes(size_bytes)}"


def threshold(name: str, total: str, limits: Limits) -> Fraction:
    """What of a capacity the hard eviction threshold keeps free."""
    signal = {MEMORY: "memory.available", STORAGE: "nodefs.available"}.get(name)
    text = limits.eviction_hard.get(signal, "") if signal else ""
    if not text or (amount := parse_amount(text)).is_off:
        return Fraction(0)
    return amount.of(quantity.parse(total))


def _text(name: str, amount: Fraction) -> str:
    if name == CPU:
        return quantity.from_milli(int(amount * 1000))
    if name == MEMORY or name.startswith("hugepages-"):
        return quantity.from_bytes(int(amount))
    return str(int(amount))
