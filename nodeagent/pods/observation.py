"""What a runtime holds of one pod, read when the pod's supervisor is about to decide.

Nothing is cached: events only wake the supervisor, and what it then decides on is the runtime's own answer.
"""

import asyncio
import dataclasses
from collections.abc import Collection, Iterable
from typing import TypeVar

from nodeagent.pods.rules.model import Instance, Observed
from nodeagent.podspec.pod import PodUID
from proto import cri_pb2 as cri
from runtimes.contract import RuntimeService
from runtimes.errors import NotFound
from runtimes.kube.labels import LABEL_POD_UID

_T = TypeVar("_T")
_LOOKS = 4  # removals come to an end
_START_FAILURES = frozenset({"StartError", "ContainerCannotRun"})


async def observe(service: RuntimeService, uid: PodUID) -> Observed:
    """All sandboxes and containers of a pod, newest first, as they were together. Raises the runtime's errors."""
    for _ in range(_LOOKS - 1):
        try:
            return await _look(service, uid, whole=True)
        except _Vanished:
            # some may have been asked before the removals that are under way, and some after: never mix two moments
            continue
    return await _look(service, uid, whole=False)


def before_hooks(observed: Observed, hooked: Collection[str]) -> Observed:
    """The same, where containers of these ids have not started: they have when their postStart hook has ended.

    Nobody is told before that they run, and nothing probes them (docs/facts/pod-lifecycle.md 8).
    """
    if not hooked:
        return observed
    return dataclasses.replace(observed, instances=tuple(_before_hook(item, hooked) for item in observed.instances))


def _before_hook(instance: Instance, hooked: Collection[str]) -> Instance:
    if instance.status.id not in hooked or instance.status.state != cri.CONTAINER_RUNNING:
        return instance
    status = cri.ContainerStatus()
    status.CopyFrom(instance.status)
    status.state, status.started_at = cri.CONTAINER_CREATED, 0
    return dataclasses.replace(instance, status=status)


class _Vanished(Exception):
    """Something was listed and is gone."""


async def _look(service: RuntimeService, uid: PodUID, *, whole: bool) -> Observed:
    selector = {LABEL_POD_UID: uid}
    sandboxes, containers = await asyncio.gather(
        service.list_pod_sandbox(cri.ListPodSandboxRequest(filter=cri.PodSandboxFilter(label_selector=selector))),
        service.list_containers(cri.ListContainersRequest(filter=cri.ContainerFilter(label_selector=selector))),
    )
    statuses = await asyncio.gather(*(_sandbox_status(service, item.id) for item in sandboxes.items))
    answers = await asyncio.gather(*(_container_status(service, item.id) for item in containers.containers))
    if whole and (None in statuses or None in answers):
        raise _Vanished
    instances = map(_instance, containers.containers, answers)
    return Observed(
        sandboxes=tuple(sorted(_present(statuses), key=_sandbox_age, reverse=True)),
        instances=tuple(sorted(_present(instances), key=_instance_age, reverse=True)),
    )


async def _sandbox_status(service: RuntimeService, sandbox_id: str) -> cri.PodSandboxStatus | None:
    try:
        return (await service.pod_sandbox_status(cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))).status
    except NotFound:  # removed between the two calls
        return None


async def _container_status(service: RuntimeService, container_id: str) -> cri.ContainerStatus | None:
    try:
        return (await service.container_status(cri.ContainerStatusRequest(container_id=container_id))).status
    except NotFound:
        return None


def _instance(item: cri.Container, status: cri.ContainerStatus | None) -> Instance | None:
    if status is None or _undone_before_its_start(status):
        return None
    return Instance(sandbox_id=item.pod_sandbox_id, status=status)


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
