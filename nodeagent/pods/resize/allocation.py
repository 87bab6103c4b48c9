"""What of a node's resources a pod has been given: allocated resources, and pods seen through them. Pure.

A resize changes the spec of a running pod. Until the node has agreed, everything local goes by the allocated resources, so
the agent's other parts are handed a pod whose spec holds those (`with_resources`) and need not know of resizes.
Source: docs/facts/pod-lifecycle.md 4.7.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from fractions import Fraction

import msgspec
from lightkube.models.core_v1 import Container, PodSpec, ResourceRequirements

from nodeagent.podspec.charged import charged
from nodeagent.podspec.effective import Side, aggregated, as_quantities
from nodeagent.podspec.pod import AgentPod
from runtimes.kube import quantity

RESIZABLE = ("memory", "cpu")  # in the order in which they are actuated
_SIDES: tuple[Side, ...] = ("requests", "limits")


class PodResources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The resources of a pod and of its init and regular containers, by name."""

    containers: Mapping[str, ResourceRequirements]
    pod: ResourceRequirements | None = None


def resizable_containers(pod: AgentPod) -> Iterator[Container]:
    """Init containers, sidecars and regular containers; ephemeral ones have no resources."""
    yield from pod.spec.initContainers or ()
    yield from pod.spec.containers


def resources_of(pod: AgentPod) -> PodResources:
    return PodResources(
        containers={item.name: item.resources or ResourceRequirements() for item in resizable_containers(pod)},
        pod=pod.spec.resources,
    )


def with_resources(pod: AgentPod, given: PodResources) -> AgentPod:
    """The pod with these CPU and memory figures in place of its spec's; the same object where nothing differs."""
    if same(resources_of(pod), given):
        return pod
    level = pod.spec.resources
    if level is not None and given.pod is not None:
        level = merged(level, given.pod)
    spec = msgspec.structs.replace(
        pod.spec,
        containers=[_with(item, given) for item in pod.spec.containers],
        initContainers=[_with(item, given) for item in pod.spec.initContainers] if pod.spec.initContainers else None,
        resources=level,
    )
    return dataclasses.replace(pod, spec=spec)


def same(one: PodResources, other: PodResources) -> bool:
    """Whether CPU and memory are alike everywhere; a container that only one of them knows counts as alike."""
    if not same_resources(one.pod, other.pod):
        return False
    common = one.containers.keys() & other.containers.keys()
    return all(same_resources(one.containers[name], other.containers[name]) for name in common)


def same_resources(one: ResourceRequirements | None, other: ResourceRequirements | None) -> bool:
    """Alike in what can be resized."""
    if one is other:
        return True
    return all(figure(one, side, name) == figure(other, side, name) for side in _SIDES for name in RESIZABLE)


def figure(resources: ResourceRequirements | None, side: Side, name: str) -> Fraction | None:
    """One request or limit, exactly; None: not given."""
    given = (resources.requests if side == "requests" else resources.limits) if resources is not None else None
    text = (given or {}).get(name)
    return None if text is None else quantity.parse(text)


def merged(
    base: ResourceRequirements | None, change: ResourceRequirements | None, names: tuple[str, ...] = RESIZABLE
) -> ResourceRequirements:
    """`base` with the named resources as `change` has them, given or not."""
    made: dict[str, dict[str, str] | None] = {}
    for side in _SIDES:
        own: Mapping[str, str] = (getattr(base, side) if base is not None else None) or {}
        new: Mapping[str, str] = (getattr(change, side) if change is not None else None) or {}
        kept = {key: text for key, text in own.items() if key not in names}
        made[side] = {**kept, **{key: text for key, text in new.items() if key in names}} or None
    return ResourceRequirements(
        claims=base.claims if base is not None else None, requests=made["requests"], limits=made["limits"]
    )


def charged_pod(allocated: AgentPod, actuated: Mapping[str, ResourceRequirements]) -> AgentPod:
    """The pod as others have to count it: each request the larger of what is allocated and what is in force still.

    A pod that shrinks keeps its old share until the kernel has taken it away.
    """
    held = {
        container.name: [_in_force(container, actuated.get(container.name))]
        for container in resizable_containers(allocated)
    }
    spec = charged(allocated.spec, held)
    return allocated if spec is allocated.spec else dataclasses.replace(allocated, spec=spec)


def _in_force(container: Container, actuated: ResourceRequirements | None) -> dict[str, str]:
    """Of the requests in force those that the container makes: a runtime tells a least share of CPU of every one."""
    requests = (container.resources.requests if container.resources is not None else None) or {}
    found = (actuated.requests if actuated is not None else None) or {}
    return {name: found[name] for name in RESIZABLE if name in requests and name in found}


def increases(allocated: AgentPod, wanted: AgentPod) -> bool:
    """Whether the resize asks for more of anything than the pod has: it may have to wait."""
    before, after = aggregated(allocated.spec, "requests"), aggregated(wanted.spec, "requests")
    return any(after.get(name, 0) > before.get(name, 0) for name in RESIZABLE)


def pod_level(pod: AgentPod) -> ResourceRequirements:
    """The pod's sums of CPU and memory, as its cgroup has them (without overhead)."""
    return ResourceRequirements(requests=_sums(pod.spec, "requests"), limits=_sums(pod.spec, "limits"))


def _sums(spec: PodSpec, side: Side) -> dict[str, str] | None:
    total = {name: value for name, value in aggregated(spec, side).items() if name in RESIZABLE}
    return as_quantities(total) or None


def _with(container: Container, given: PodResources) -> Container:
    resources = given.containers.get(container.name)
    if resources is None or same_resources(container.resources, resources):
        return container
    return msgspec.structs.replace(container, resources=merged(container.resources, resources))
