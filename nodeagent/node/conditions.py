"""The node's conditions and the events that go with their changes. Pure. Source: docs/facts/node-resources.md 8.3."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lightkube.models.core_v1 import NodeCondition

READY = "Ready"
HANDLERS_READY = "RuntimeHandlersReady"  # nodes with several runtimes only
REQUIRED_CAPACITY = ("cpu", "memory", "pods", "ephemeral-storage")
NO_CFS_QUOTA = ". WARNING: CPU hardcapping unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """What the node is short of."""

    memory: bool = False
    disk: bool = False
    pid: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionEvent:
    """A node event: Normal, about the own node."""

    reason: str
    message: str


def conditions(
    before: Sequence[NodeCondition],
    pressure: Pressure,
    errors: Sequence[str],
    *,
    cfs_quota: bool,
    lacking: Sequence[str] = (),
    now: datetime,
    handler_errors: Sequence[str] | None = None,
) -> list[NodeCondition]:
    """Return the agent's conditions. `errors`: why the node is not ready, none: it is.

    `handler_errors`: what is wrong with runtimes beside the default one; None where there is no other. It is a condition of
    its own: pods of the other runtimes are not to be evicted for it.
    `lacking`: cgroup controllers without which pods' limits are not held. lastTransitionTime moves only when the status does.
    """
    known = {condition.type: condition for condition in before}
    message = join_errors(errors) if errors else "kubelet is posting ready status"
    if not errors and not cfs_quota:
        message += NO_CFS_QUOTA
    if not errors and lacking:
        message += f". WARNING: no cgroup controller {', '.join(lacking)}: limits of pods are not held"
    wanted: tuple[NodeCondition, ...] = (
        _pressure("MemoryPressure", pressure.memory, _MEMORY),
        _pressure("DiskPressure", pressure.disk, _DISK),
        _pressure("PIDPressure", pressure.pid, _PID),
        NodeCondition(
            type=READY,
            status="False" if errors else "True",
            reason="KubeletNotReady" if errors else "KubeletReady",
            message=message,
        ),
    )
    if handler_errors is not None:
        wanted += (_handlers(handler_errors),)
    for condition in wanted:
        old = known.get(condition.type)
        condition.lastHeartbeatTime = now
        same = old is not None and old.status == condition.status and old.lastTransitionTime is not None
        condition.lastTransitionTime = old.lastTransitionTime if old is not None and same else now
    return list(wanted)


def join_errors(errors: Sequence[str]) -> str:
    """One error as it stands, several as "[a, b]", each once."""
    each = list(dict.fromkeys(errors))
    return each[0] if len(each) == 1 else f"[{', '.join(each)}]"


def missing_capacity(capacity: Mapping[str, str], *, storage: bool) -> str:
    """Say which resources the node cannot name a capacity for, empty when none is missing."""
    missing = [name for name in REQUIRED_CAPACITY if name not in capacity and (storage or name != "ephemeral-storage")]
    return f"missing node capacity for resources: {', '.join(missing)}" if missing else ""


def transitions(
    node_name: str, before: Iterable[NodeCondition], after: Iterable[NodeCondition]
) -> list[ConditionEvent]:
    """Return the events for the statuses that changed; a condition that was not there before is no change but Ready."""
    known = {condition.type: condition.status for condition in before}
    events = []
    for condition in after:
        old = known.get(condition.type)
        if old == condition.status or (old is None and condition.type != READY):
            continue
        reason = _event_reason(condition)
        if reason:
            events.append(ConditionEvent(reason=reason, message=f"Node {node_name} status is now: {reason}"))
    return events


_MEMORY = (
    ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
)
_DISK = (
    ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
)
_PID = (
    ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


def _pressure(kind: str, there: bool, texts: tuple[tuple[str, str], tuple[str, str]]) -> NodeCondition:
    reason, message = texts[0] if there else texts[1]
    return NodeCondition(type=kind, status="True" if there else "False", reason=reason, message=message)


def _handlers(errors: Sequence[str]) -> NodeCondition:
    return NodeCondition(
        type=HANDLERS_READY,
        status="False" if errors else "True",
        reason="RuntimeHandlerNotReady" if errors else "RuntimeHandlersReady",
        message=join_errors(errors) if errors else "every runtime handler is ready",
    )


def _event_reason(condition: NodeCondition) -> str:
    if condition.type == HANDLERS_READY:
        return condition.reason or ""
    if condition.type == READY:
        return "NodeReady" if condition.status == "True" else "NodeNotReady"
    # KubeletHasDiskPressure -> NodeHasDiskPressure
    return f"Node{(condition.reason or '').removeprefix('Kubelet')}"
