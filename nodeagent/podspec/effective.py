"""What a pod asks for in all: requests and limits of its containers, its init containers' peak, pod level, overhead.

Amounts are exact fractions in the resource's own unit (cores, bytes, pieces). Source: docs/facts/node-resources.md 3.2.
"""

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Literal

from lightkube.models.core_v1 import PodSpec, ResourceRequirements

from nodeagent.podspec.containers import is_sidecar
from nodeagent.podspec.pod import AgentPod
from runtimes.kube import quantity

Amounts = dict[str, Fraction]
Side = Literal["requests", "limits"]

_POD_LEVEL = ("cpu", "memory")
_NONE = Fraction(0)


def amounts(resources: ResourceRequirements | None, side: Side) -> Amounts:
    """Requests or limits as exact amounts."""
    if resources is None:
        return {}
    return parsed(resources.requests if side == "requests" else resources.limits)


def parsed(quantities: Mapping[str, str] | None) -> Amounts:
    """Quantities by resource name as exact amounts. Raises InvalidQuantity."""
    return {name: quantity.parse(text) for name, text in quantities.items()} if quantities else {}


def as_quantities(values: Mapping[str, Fraction]) -> dict[str, str]:
    """Amounts as canonical quantity texts: bytes with binary suffixes, everything else in units or thousandths."""
    return {name: _as_quantity(name, value) for name, value in sorted(values.items())}


def effective_requests(spec: PodSpec) -> Amounts:
    """What the pod asks for in all, overhead included."""
    total = aggregated(spec, "requests")
    add(total, overhead(spec))
    return total


def requests_of(pod: AgentPod) -> Mapping[str, Fraction]:
    """The same of a pod. Added up once: at each start every pod's are asked for."""
    if not pod.requests:
        pod.requests.append(effective_requests(pod.spec))
    return pod.requests[0]


def effective_limits(spec: PodSpec) -> Amounts:
    """What the pod may use in all; overhead is added to limits that exist."""
    total = aggregated(spec, "limits")
    for name, extra in overhead(spec).items():
        if total.get(name):
            total[name] += extra
    return total


def aggregated(spec: PodSpec, side: Side) -> Amounts:
    """What the containers ask for together; pod-level values replace it. No overhead."""
    total = together(
        (amounts(container.resources, side) for container in spec.containers),
        ((amounts(container.resources, side), is_sidecar(container)) for container in spec.initContainers or ()),
    )
    if spec.resources is not None:
        total.update((name, value) for name, value in amounts(spec.resources, side).items() if is_pod_level(name))
    return total


def together(containers: Iterable[Amounts], init_containers: Iterable[tuple[Amounts, bool]]) -> Amounts:
    """The sum of what runs in the end, or the peak of the initialisation, whichever is larger, by resource.

    `init_containers`: in their order, each with whether it is a sidecar. A sidecar counts with the containers, and while
    init containers run with those declared after it.
    """
    total: Amounts = {}
    for own in containers:
        add(total, own)
    sidecars: Amounts = {}
    peak: Amounts = {}
    for own, sidecar in init_containers:
        step = sidecars if sidecar else dict(sidecars)
        add(step, own)
        _raise_to(peak, step)
    add(total, sidecars)
    _raise_to(total, peak)
    return total


def overhead(spec: PodSpec) -> Amounts:
    """What the pod's RuntimeClass costs by itself."""
    return parsed(spec.overhead)


def is_pod_level(name: str) -> bool:
    """Whether a resource may be set for a whole pod."""
    return name in _POD_LEVEL or name.startswith("hugepages-")


def add(total: Amounts, more: Mapping[str, Fraction]) -> None:
    """Add to `total`, in place."""
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value


def _raise_to(total: Amounts, least: Mapping[str, Fraction]) -> None:
    for name, value in least.items():
        total[name] = max(value, total.get(name, _NONE))


def _as_quantity(name: str, value: Fraction) -> str:
    if name == "memory" or name == "ephemeral-storage" or name.startswith("hugepages-"):
        return quantity.from_bytes(math.ceil(value))
    return quantity.from_milli(math.ceil(value * 1000))
