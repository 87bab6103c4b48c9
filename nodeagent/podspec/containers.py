"""Reading a pod's spec: its containers in their three lists, its names."""

import enum
from collections.abc import Iterator
from typing import NewType

from lightkube.models.core_v1 import Container, EphemeralContainer, Pod

AnyContainer = Container | EphemeralContainer
PodUID = NewType("PodUID", str)


class ContainerKind(enum.Enum):
    """Which list of the pod spec a container stands in. A sidecar is an init container with restartPolicy Always."""

    INIT = "initContainers"
    SIDECAR = "sidecar"
    REGULAR = "containers"
    EPHEMERAL = "ephemeralContainers"


def uid_of(pod: Pod) -> PodUID:
    """The pod's UID. A pod from any source has one."""
    assert pod.metadata is not None
    assert pod.metadata.uid is not None
    return PodUID(pod.metadata.uid)


def name_of(pod: Pod) -> tuple[str, str]:
    """(namespace, name)."""
    assert pod.metadata is not None
    return (pod.metadata.namespace or "default", pod.metadata.name or "")


def describe(pod: Pod) -> str:
    """`name_namespace(uid)`, as messages name a pod."""
    namespace, name = name_of(pod)
    return f"{name}_{namespace}({uid_of(pod)})"


def is_sidecar(container: Container) -> bool:
    """Of an init container: whether it keeps running beside those after it."""
    return bool(container.restartPolicy == "Always")


def kind_of(container: AnyContainer, *, init: bool) -> ContainerKind:
    if isinstance(container, EphemeralContainer):
        return ContainerKind.EPHEMERAL
    if not init:
        return ContainerKind.REGULAR
    return ContainerKind.SIDECAR if is_sidecar(container) else ContainerKind.INIT


def containers(pod: Pod) -> Iterator[tuple[ContainerKind, AnyContainer]]:
    """Every container of the pod: init containers and sidecars, regular ones, ephemeral ones; each list in its order."""
    assert pod.spec is not None
    for container in pod.spec.initContainers or ():
        yield kind_of(container, init=True), container
    for container in pod.spec.containers:
        yield ContainerKind.REGULAR, container
    for ephemeral in pod.spec.ephemeralContainers or ():
        yield ContainerKind.EPHEMERAL, ephemeral


def find_container(pod: Pod, name: str) -> tuple[ContainerKind, AnyContainer] | None:
    return next((found for found in containers(pod) if found[1].name == name), None)


def field_path(kind: ContainerKind, name: str) -> str:
    """The fieldPath of a container's events."""
    section = "initContainers" if kind in (ContainerKind.INIT, ContainerKind.SIDECAR) else kind.value
    return f"spec.{section}{{{name}}}"
