"""The pod's phase, counted from its container statuses. Source: docs/facts/pod-lifecycle.md 6.1."""

from collections.abc import Mapping
from dataclasses import dataclass

from lightkube.models.core_v1 import Container, ContainerState, ContainerStateTerminated, ContainerStatus

from nodeagent.pods.rules.restart import restarts_after_exit
from nodeagent.podspec.pod import AgentPod

PENDING = "Pending"
RUNNING = "Running"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
TERMINAL = frozenset({SUCCEEDED, FAILED})

RESTARTING_ALL = "RestartingAllContainers"

_NO_STATE = ContainerState()


@dataclass(slots=True)
class _Counts:
    running: int = 0
    waiting: int = 0
    unknown: int = 0
    stopped: int = 0
    succeeded: int = 0
    final: int = 0
    init_pending: int = 0
    sidecar_pending: int = 0
    init_failed_for_good: int = 0


def is_terminal(phase: str | None) -> bool:
    return phase in TERMINAL


def has_ended(pod: AgentPod) -> bool:
    """As the API says."""
    return pod.status is not None and is_terminal(pod.status.phase)


def pod_phase(
    pod: AgentPod,
    init_statuses: Mapping[str, ContainerStatus],
    statuses: Mapping[str, ContainerStatus],
    *,
    regular_started: bool,
    ended: bool = False,
    replaced: frozenset[str] = frozenset(),
) -> str:
    """The phase that the container statuses (by name) add up to.

    `regular_started`: a regular container of the current sandbox has ever started. `ended`: the pod is being terminated for
    good and all its containers have stopped, so that the restart policy no longer counts; never for static pods. `replaced`:
    names of containers that were stopped to start again (`replacement`): no policy has a say in that.
    """
    counts = _Counts()
    for container in pod.spec.initContainers or ():
        status = init_statuses.get(container.name)
        if container.restartPolicy == "Always":
            _count_sidecar(counts, status)
        else:
            _count_init(counts, pod, container, status, replaced)
    for container in pod.spec.containers:
        _count_regular(counts, pod, container, statuses.get(container.name), replaced)
    return _decide(counts, regular_started=regular_started, ended=ended)


def _decide(counts: _Counts, *, regular_started: bool, ended: bool) -> str:
    if counts.init_failed_for_good:
        return FAILED
    if counts.init_pending or (counts.sidecar_pending and not regular_started) or counts.waiting:
        return PENDING
    if counts.unknown:
        return PENDING
    if counts.running:
        return RUNNING
    if not counts.stopped:
        return PENDING
    if not ended and counts.final < counts.stopped:
        return RUNNING
    return SUCCEEDED if counts.succeeded == counts.stopped else FAILED


def _count_init(
    counts: _Counts, pod: AgentPod, container: Container, status: ContainerStatus | None, replaced: frozenset[str]
) -> None:
    ended = _end_of(status)
    if ended is None or container.name in replaced:
        counts.init_pending += 1
    elif ended.exitCode != 0 and not _restarts(pod, container, ended):
        counts.init_failed_for_good += 1


def _count_sidecar(counts: _Counts, status: ContainerStatus | None) -> None:
    if status is None:
        counts.unknown += 1
        return
    state = status.state or _NO_STATE
    if state.running is not None:
        counts.running += 1
        counts.sidecar_pending += not status.started
    elif _end_of(status) is None:
        counts.waiting += 1
        counts.sidecar_pending += 1


def _count_regular(
    counts: _Counts, pod: AgentPod, container: Container, status: ContainerStatus | None, replaced: frozenset[str]
) -> None:
    if status is None:
        counts.unknown += 1
        return
    state = status.state or _NO_STATE
    if state.running is not None:
        counts.running += 1
        return
    ended = _end_of(status)
    if ended is None:
        counts.waiting += 1
        return
    counts.stopped += 1
    counts.succeeded += state.terminated is not None and ended.exitCode == 0
    counts.final += container.name not in replaced and not _restarts(pod, container, ended)


def _end_of(status: ContainerStatus | None) -> ContainerStateTerminated | None:
    """How the container's newest known run ended; None: it runs, or never ran."""
    if status is None:
        return None
    state = status.state or _NO_STATE
    if state.running is not None:
        return None
    return state.terminated or (status.lastState or _NO_STATE).terminated


def _restarts(pod: AgentPod, container: Container, ended: ContainerStateTerminated) -> bool:
    return ended.reason == RESTARTING_ALL or restarts_after_exit(pod, container, ended.exitCode)
