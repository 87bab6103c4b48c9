"""Reading a pod's spec: its containers in their three lists."""

import enum
from collections.abc import Iterator

from lightkube.models.core_v1 import Container, EphemeralContainer

from nodeagent.podspec.pod import AgentPod

AnyContainer = Container | EphemeralContainer


class ContainerKind(enum.Enum):
    """Which list of the pod spec a container stands in. A sidecar is an init container with restartPolicy Always."""

    INIT = "initContainers"
    SIDECAR = "sidecar"
    REGULAR = "containers"
    EPHEMERAL = "ephemeralContainers"


def is_sidecar(container: Container) -> bool:
    """Whether an init container is a sidecar: it keeps running while those after it run."""
    return bool(container.restartPolicy == "Always")


def kind_of(container: AnyContainer, *, init: bool) -> ContainerKind:
    if isinstance(container, EphemeralContainer):
        return ContainerKind.EPHEMERAL
    if not init:
        return ContainerKind.REGULAR
    return ContainerKind.SIDECAR if is_sidecar(container) else ContainerKind.INIT


def containers(pod: AgentPod) -> Iterator[tuple[ContainerKind, AnyContainer]]:
    """Every container of the pod: init containers and sidecars, regular ones, ephemeral ones; each list in its order."""
    for container in pod.spec.initContainers or ():
        yield kind_of(container, init=True), container
    for container in pod.spec.containers:
        yield ContainerKind.REGULAR, container
    for ephemeral in pod.spec.ephemeralContainers or ():
        yield ContainerKind.EPHEMERAL, ephemeral


def find_container(pod: AgentPod, name: str) -> tuple[ContainerKind, AnyContainer] | None:
    return next((found for found in containers(pod) if found[1].name == name), None)


def field_path(kind: ContainerKind, name: str) -> str:
    """The fieldPath of a container's events."""
    section = "initContainers" if kind in (ContainerKind.INIT, ContainerKind.SIDECAR) else kind.value
    return f"spec.{section}{{{name}}}"
