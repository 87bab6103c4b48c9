"""What the hollow runtime remembers, and the CRI's view of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from proto import cri_pb2 as cri


@dataclass(slots=True)
class HollowSandbox:
    status: cri.PodSandboxStatus
    containers: dict[str, "HollowContainer"] = field(default_factory=dict)

    @property
    def labels(self) -> Mapping[str, str]:
        return self.status.labels


@dataclass(slots=True)
class HollowContainer:
    sandbox_id: str
    status: cri.ContainerStatus
    end: asyncio.TimerHandle | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        return self.status.labels


def has_labels(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in selector.items())


def sandbox_item(status: cri.PodSandboxStatus) -> cri.PodSandbox:
    return cri.PodSandbox(
        id=status.id,
        metadata=status.metadata,
        state=status.state,
        created_at=status.created_at,
        labels=status.labels,
        annotations=status.annotations,
        runtime_handler=status.runtime_handler,
    )


def container_item(container: HollowContainer) -> cri.Container:
    status = container.status
    return cri.Container(
        id=status.id,
        pod_sandbox_id=container.sandbox_id,
        metadata=status.metadata,
        image=status.image,
        image_ref=status.image_ref,
        state=status.state,
        created_at=status.created_at,
        labels=status.labels,
        annotations=status.annotations,
    )


def _attributes(status: cri.ContainerStatus) -> cri.ContainerAttributes:
    return cri.ContainerAttributes(
        id=status.id, metadata=status.metadata, labels=status.labels, annotations=status.annotations
    )


def container_stats(container: HollowContainer) -> cri.ContainerStats:
    return cri.ContainerStats(attributes=_attributes(container.status))


def sandbox_stats(sandbox: HollowSandbox) -> cri.PodSandboxStats:
    status = sandbox.status
    attributes = cri.PodSandboxAttributes(
        id=status.id, metadata=status.metadata, labels=status.labels, annotations=status.annotations
    )
    return cri.PodSandboxStats(attributes=attributes)
