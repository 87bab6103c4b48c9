"""A pod in one line, in the words of `kubectl get pods` (docs/facts/embedded-api.md 6)."""

from dataclasses import dataclass
from datetime import datetime

from lightkube.models.core_v1 import ContainerStatus, Pod

from nodeagent.cli.output import human_age


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRow:
    """`ready`: "1/2", containers that are ready of those there are."""

    namespace: str
    name: str
    ready: str
    status: str
    restarts: int
    ip: str
    node: str
    age: str


def pod_row(pod: Pod, now: datetime) -> PodRow:
    assert pod.metadata is not None
    statuses = (pod.status.containerStatuses if pod.status else None) or []
    created = pod.metadata.creationTimestamp
    return PodRow(
        namespace=pod.metadata.namespace or "",
        name=pod.metadata.name or "",
        ready=f"{sum(item.ready for item in statuses)}/{len(pod.spec.containers) if pod.spec else 0}",
        status=_status(pod, statuses),
        restarts=sum(item.restartCount for item in statuses),
        ip=(pod.status.podIP if pod.status else None) or "",
        node=(pod.spec.nodeName if pod.spec else None) or "",
        age=human_age((now - created).total_seconds()) if created else "",
    )


def _status(pod: Pod, statuses: list[ContainerStatus]) -> str:
    assert pod.metadata is not None
    if pod.metadata.deletionTimestamp is not None:
        return "Terminating"
    if pod.status is None:
        return "Pending"
    if waiting := _init_problem(pod):
        return waiting
    reason = pod.status.reason or pod.status.phase or "Unknown"
    running = False
    for status in reversed(statuses):
        state = status.state
        if state is not None and state.waiting is not None and state.waiting.reason:
            reason = state.waiting.reason
        elif state is not None and state.terminated is not None:
            ended = state.terminated
            reason = ended.reason or (f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exitCode}")
        elif status.ready and state is not None and state.running is not None:
            running = True
    # one container done and another at work: the pod is at work
    return "Running" if reason == "Completed" and running else reason


def _init_problem(pod: Pod) -> str:
    """Where an unfinished init container keeps the pod; empty when none does."""
    assert pod.status is not None
    statuses = pod.status.initContainerStatuses or []
    sidecars = {item.name for item in (pod.spec.initContainers if pod.spec else None) or [] if item.restartPolicy}
    for number, status in enumerate(statuses):
        state = status.state
        ended = state.terminated if state else None
        if (ended is not None and ended.exitCode == 0) or (status.name in sidecars and status.started):
            continue
        if ended is not None:
            return f"Init:{ended.reason or f'ExitCode:{ended.exitCode}'}"
        waiting = state.waiting if state else None
        if waiting is not None and waiting.reason and waiting.reason != "PodInitializing":
            return f"Init:{waiting.reason}"
        return f"Init:{number}/{len(statuses)}"
    return ""
