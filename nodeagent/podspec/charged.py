"""What a node is charged for a pod whose resources are being changed.

Until a resize is in force the pod may have more than its spec says, or be entitled to less: others have to leave it the
most of what it wants, is allocated, and still has. Source: docs/facts/node-resources.md 3.2.
"""

from collections.abc import Iterable, Mapping

import msgspec
from lightkube.models.core_v1 import Container, PodSpec, ResourceRequirements

from runtimes.kube import quantity

Quantities = Mapping[str, str]


def charged(spec: PodSpec, held: Mapping[str, Iterable[Quantities]], *, infeasible: bool = False) -> PodSpec:
    """The spec with each container's requests as the node is charged for them; the same object where nothing differs.

    `held`: by container name, the requests that its node says are allocated and in force. `infeasible`: the node can never
    grant what the spec asks for, so that is not counted for containers of which something is held.
    """
    containers = [_charged(item, held.get(item.name, ()), infeasible) for item in spec.containers]
    init_containers = [_charged(item, held.get(item.name, ()), infeasible) for item in spec.initContainers or ()]
    before = (*spec.containers, *(spec.initContainers or ()))
    if all(new is old for new, old in zip((*containers, *init_containers), before, strict=True)):
        return spec
    return msgspec.structs.replace(spec, containers=containers, initContainers=init_containers or None)


def _charged(container: Container, held: Iterable[Quantities], infeasible: bool) -> Container:
    resources = container.resources or ResourceRequirements()
    wanted = resources.requests or {}
    parts = [part for part in held if part]
    if all(part == wanted for part in parts):
        return container
    requests = _largest(parts if infeasible else [wanted, *parts])
    if requests == wanted:
        return container
    return msgspec.structs.replace(container, resources=msgspec.structs.replace(resources, requests=requests))


def _largest(parts: Iterable[Quantities]) -> dict[str, str]:
    """The largest of several requests, resource by resource, as it is written there."""
    most: dict[str, str] = {}
    for part in parts:
        for name, text in part.items():
            if name not in most or quantity.parse(text) > quantity.parse(most[name]):
                most[name] = text
    return most
