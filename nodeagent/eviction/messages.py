"""What an evicted pod is told. Pure. Source: docs/facts/node-resources.md 5.8."""

from collections.abc import Iterator
from dataclasses import dataclass

from nodeagent.config.eviction import Signal
from nodeagent.eviction.rules import INODES, MEMORY, PIDS, resource
from nodeagent.eviction.signals import Observation
from nodeagent.eviction.thresholds import Threshold
from nodeagent.eviction.usage import PodUsage
from nodeagent.podspec.containers import ContainerKind, containers
from nodeagent.podspec.effective import amounts
from runtimes.kube import quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """`annotations`: of the event about the pod."""

    message: str
    annotations: dict[str, str]


def told(usage: PodUsage, threshold: Threshold, seen: Observation | None) -> Told:
    """`seen`: of the threshold's signal, None: it is not known any more."""
    short = resource(threshold.signal)
    message = f"The node was low on resource: {short}. "
    if seen is not None:
        message += (
            f"Threshold quantity: {_limit(threshold, seen)}, available: {_amount(threshold.signal, seen.available)}. "
        )
    annotations: dict[str, str] = {}
    own = amounts(usage.pod.spec.resources, "requests").get("memory") if usage.pod.spec.resources is not None else None
    if short == "memory" and usage.known and own is not None:
        used, request = quantity.from_bytes(usage.memory_bytes), quantity.from_bytes(int(own))
        name = usage.pod.metadata.name or ""
        message += f"Pod {name} was using {used}, request is {request}, has larger consumption of memory. "
        annotations |= {"offending_pod": name, "offending_pod_usage": used}
    offending = list(_offending(usage, short))
    for name, used, request in offending:
        message += f"Container {name} was using {used}, request is {request}, has larger consumption of {short}. "
    if usage.known:
        annotations |= {
            "offending_containers": ",".join(name for name, _, _ in offending),
            "offending_containers_usage": ",".join(used for _, used, _ in offending),
            "starved_resource": short,
        }
    return Told(message=message, annotations=annotations)


def _offending(usage: PodUsage, short: str) -> Iterator[tuple[str, str, str]]:
    """(name, used, requested) of the containers that use more than they asked for."""
    if short not in ("memory", "ephemeral-storage"):
        return
    for kind, container in containers(usage.pod):
        found = usage.containers.get(container.name)
        if kind is ContainerKind.EPHEMERAL or found is None:
            continue
        used = found.memory_bytes if short == "memory" else (found.layer + found.logs).used_bytes
        request = amounts(container.resources, "requests").get(short, 0)
        if used is not None and used > request:
            yield container.name, quantity.from_bytes(used), quantity.from_bytes(int(request))


def _limit(threshold: Threshold, seen: Observation) -> str:
    number = int(threshold.amount.of(seen.capacity))
    if threshold.amount.share is not None:
        return quantity.from_bytes(number)
    return _amount(threshold.signal, number)


def _amount(signal: Signal, number: int) -> str:
    """Bytes with binary suffixes, inodes and tasks in decimal."""
    if signal in MEMORY or signal not in INODES | PIDS:
        return quantity.from_bytes(number)
    for suffix, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number and number % factor == 0:
            return f"{number // factor}{suffix}"
    return str(number)
