"""The conditions that the agent owns in a pod's status.

Source: docs/facts/pod-lifecycle.md 6.2. Each function gives one condition without times; `stamped` adds transition times.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from lightkube.models.core_v1 import Container, ContainerStatus, PodCondition

from nodeagent.pods.rules.model import Observed
from nodeagent.pods.rules.restart import has_restart_all_rule
from nodeagent.pods.rules.restart_all import triggers
from nodeagent.pods.status.phase import FAILED, SUCCEEDED
from nodeagent.podspec.pod import AgentPod

READY_TO_START = "PodReadyToStartContainers"
INITIALIZED = "Initialized"
READY = "Ready"
CONTAINERS_READY = "ContainersReady"
SCHEDULED = "PodScheduled"
RESTARTING_ALL = "AllContainersRestarting"
RESIZE_PENDING = "PodResizePending"
RESIZE_IN_PROGRESS = "PodResizeInProgress"
DISRUPTION_TARGET = "DisruptionTarget"  # shared: the agent may set it and never clears another's

OWNED = frozenset(
    {
        READY_TO_START,
        INITIALIZED,
        READY,
        CONTAINERS_READY,
        SCHEDULED,
        RESTARTING_ALL,
        RESIZE_PENDING,
        RESIZE_IN_PROGRESS,
    }
)

Statuses = Mapping[str, ContainerStatus]


def find(conditions: Iterable[PodCondition] | None, type: str) -> PodCondition | None:
    return next((condition for condition in conditions or () if condition.type == type), None)


def is_true(conditions: Iterable[PodCondition] | None, type: str) -> bool:
    found = find(conditions, type)
    return found is not None and found.status == "True"


def ready_to_start(*, sandbox_ok: bool) -> PodCondition:
    return PodCondition(type=READY_TO_START, status="True" if sandbox_ok else "False")


def scheduled() -> PodCondition:
    return PodCondition(type=SCHEDULED, status="True")


def initialized(
    pod: AgentPod, init: Statuses | None, regular: Statuses | None, phase: str, *, was_true: bool
) -> PodCondition:
    """`was_true`: the condition was True before, on a pod that can restart all its containers in place."""
    if init is None or regular is None:
        return PodCondition(type=INITIALIZED, status="False", reason="UnknownContainerStatuses")
    containers = pod.spec.initContainers or []
    unknown = [container.name for container in containers if container.name not in init]
    if phase == SUCCEEDED and not unknown:
        return PodCondition(type=INITIALIZED, status="True", reason="PodCompleted")
    incomplete = [
        container.name
        for container in containers
        if container.name in init and not _is_initialized(container, init[container.name])
    ]
    if was_true or _any_started(pod, regular) or not (incomplete or unknown):
        return PodCondition(type=INITIALIZED, status="True")
    message = _lists(("containers with unknown status", unknown), ("containers with incomplete status", incomplete))
    return PodCondition(type=INITIALIZED, status="False", reason="ContainersNotInitialized", message=message)


def containers_ready(pod: AgentPod, init: Statuses | None, regular: Statuses | None, phase: str) -> PodCondition:
    if init is None or regular is None:
        return PodCondition(type=CONTAINERS_READY, status="False", reason="UnknownContainerStatuses")
    sidecars = [container for container in pod.spec.initContainers or () if container.restartPolicy == "Always"]
    statuses = {**init, **regular}
    names = [container.name for container in (*sidecars, *pod.spec.containers)]
    unknown = [name for name in names if name not in statuses]
    if phase == SUCCEEDED and not unknown:
        return not_ready_at_end(CONTAINERS_READY, phase)
    if phase == FAILED:
        return not_ready_at_end(CONTAINERS_READY, phase)
    unready = [name for name in names if name in statuses and not statuses[name].ready]
    message = _lists(("containers with unknown status", unknown), ("containers with unready status", unready))
    if message:
        return PodCondition(type=CONTAINERS_READY, status="False", reason="ContainersNotReady", message=message)
    return PodCondition(type=CONTAINERS_READY, status="True")


def ready(pod: AgentPod, containers: PodCondition, others: Sequence[PodCondition]) -> PodCondition:
    """Ready copies ContainersReady, and then asks the readiness gates among the other owners' conditions."""
    if containers.status != "True":
        return msgspec.structs.replace(containers, type=READY)
    messages: list[str] = []
    for gate in pod.spec.readinessGates or ():
        name = gate.conditionType
        found = find(others, name)
        if found is None:
            messages.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif found.status != "True":
            messages.append(f'the status of pod readiness gate "{name}" is not "True", but {found.status}')
    if messages:
        message = ", ".join(messages)
        return PodCondition(type=READY, status="False", reason="ReadinessGatesNotReady", message=message)
    return PodCondition(type=READY, status="True")


def not_ready_at_end(type: str, phase: str) -> PodCondition:
    """Ready or ContainersReady of a pod in a terminal phase."""
    return PodCondition(type=type, status="False", reason="PodCompleted" if phase == SUCCEEDED else "PodFailed")


def restarting_all(pod: AgentPod, observed: Observed, phase: str) -> PodCondition | None:
    """Exists on pods with a RestartAllContainers rule only; True until the containers that ask for it are removed, last."""
    if not has_restart_all_rule(pod):
        return None
    if phase in (SUCCEEDED, FAILED):
        return not_ready_at_end(RESTARTING_ALL, phase)
    if not triggers(pod, observed):
        return PodCondition(type=RESTARTING_ALL, status="False")
    return PodCondition(
        type=RESTARTING_ALL,
        status="True",
        reason="RestartAllContainersStarted",
        message="container exited with restart policy rule",
    )


def disruption_target(message: str) -> PodCondition:
    return PodCondition(type=DISRUPTION_TARGET, status="True", reason="TerminationByKubelet", message=message)


def stamped(
    conditions: Iterable[PodCondition],
    previous: Sequence[PodCondition] | None,
    now: datetime,
    generation: int | None,
) -> list[PodCondition]:
    """The conditions with lastTransitionTime (now where the status is another than before) and observedGeneration."""
    made: list[PodCondition] = []
    for condition in conditions:
        before = find(previous, condition.type)
        same = before is not None and before.status == condition.status
        at = before.lastTransitionTime if same and before is not None else None
        made.append(
            msgspec.structs.replace(
                condition,
                lastTransitionTime=at or now.replace(microsecond=0),
                observedGeneration=None if condition.type == RESTARTING_ALL else generation,
            )
        )
    return made


def _is_initialized(container: Container, status: ContainerStatus) -> bool:
    return bool(status.started) if container.restartPolicy == "Always" else status.ready


def _any_started(pod: AgentPod, regular: Statuses) -> bool:
    states = (regular[item.name].state for item in pod.spec.containers if item.name in regular)
    return any(state is not None and (state.running or state.terminated) is not None for state in states)


def _lists(*parts: tuple[str, Sequence[str]]) -> str:
    return ", ".join(f"{text}: [{' '.join(names)}]" for text, names in parts if names)
