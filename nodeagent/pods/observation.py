"""What a runtime holds of one pod, read when the pod's supervisor is about to decide.

Nothing is cached: events only wake the supervisor, and what it then decides on is the runtime's own answer.
"""

import asyncio
from collections.abc import Iterable
from typing import TypeVar

from nodeagent.pods.model import Instance, Observed, PodUID
from proto import cri_pb2 as cri
from runtimes.contract import RuntimeService
from runtimes.errors import NotFound

_T = TypeVar("_T")
_START_FAILURES = frozenset({"StartError", "ContainerCannotRun"})

LABEL_POD_NAME = "io.kubernetes.pod.name"
LABEL_POD_NAMESPACE = "io.kubernetes.pod.namespace"
LABEL_POD_UID = "io.kubernetes.pod.uid"
LABEL_CONTAINER_NAME = "io.kubernetes.container.name"


async def observe(service: RuntimeService, uid: PodUID) -> Observed:
    """All sandboxes and containers of a pod, newest first. Raises the runtime's errors."""
    selector = {LABEL_POD_UID: uid}
    sandboxes, containers = await asyncio.gather(
        service.list_pod_sandbox(cri.ListPodSandboxRequest(filter=cri.PodSandboxFilter(label_selector=selector))),
        service.list_containers(cri.ListContainersRequest(filter=cri.ContainerFilter(label_selector=selector))),
    )
    statuses = await asyncio.gather(*(_sandbox_status(service, item.id) for item in sandboxes.items))
    instances = await asyncio.gather(*(_instance(service, item) for item in containers.containers))
    return Observed(
        sandboxes=tuple(sorted(_present(statuses), key=_sandbox_age, reverse=True)),
        instances=tuple(sorted(_present(instances), key=_instance_age, reverse=True)),
    )


async def _sandbox_status(service: RuntimeService, sandbox_id: str) -> cri.PodSandboxStatus | None:
    try:
        return (await service.pod_sandbox_status(cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))).status
    except NotFound:  # removed between the two calls
        return None


async def _instance(service: RuntimeService, item: cri.Container) -> Instance | None:
    try:
        answer = await service.container_status(cri.ContainerStatusRequest(container_id=item.id))
    except NotFound:
        return None
    if _undone_before_its_start(answer.status):
        return None
    return Instance(sandbox_id=item.pod_sandbox_id, status=answer.status)


def _undone_before_its_start(status: cri.ContainerStatus) -> bool:
    """A container that was created early and killed because its sandbox came to nothing: it never was one of the pod's.

    One whose start failed has a reason that says so, and counts.
    """
    never_started = status.state == cri.CONTAINER_EXITED and not status.started_at
    return bool(never_started and status.reason not in _START_FAILURES)


def _present(items: Iterable[_T | None]) -> list[_T]:
    return [item for item in items if item is not None]


def _sandbox_age(status: cri.PodSandboxStatus) -> tuple[int, int]:
    return (status.metadata.attempt, status.created_at)


def _instance_age(instance: Instance) -> tuple[int, int]:
    return (instance.status.created_at, instance.status.metadata.attempt)
