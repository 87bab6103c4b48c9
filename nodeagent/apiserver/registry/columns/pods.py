"""The pod row: READY, STATUS and RESTARTS summarise what is in the container statuses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nodeagent.apiserver.registry.table import AGE, NAME, Cell, TableView, age, age_of, column, name_of, parse_time
from runtimes.kube.json_object import JsonObject

NONE = "<none>"


@dataclass(slots=True)
class _Summary:
    reason: str
    restarts: int = 0
    ready: int = 0
    total: int = 0
    last_restart: datetime | None = None
    restartable_restarts: int = 0
    restartable_last: datetime | None = None
    sidecars: frozenset[str] = field(default_factory=frozenset)


def _cells(pod: JsonObject, now: datetime) -> list[Cell]:
    summary = _summarise(pod)
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts += f" ({age(summary.last_restart.isoformat(), now)} ago)"
    return [
        name_of(pod),
        f"{summary.ready}/{summary.total}",
        summary.reason,
        restarts,
        age_of(pod, now),
        _pod_ip(status),
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


def _pod_ip(status: JsonObject) -> str:
    ips = status.get("podIPs")
    return (ips[0].get("ip") if ips else status.get("podIP")) or NONE


def _gates(spec: JsonObject, status: JsonObject) -> str:
    gates = spec.get("readinessGates") or []
    if not gates:
        return NONE
    true = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
    return f"{sum(gate.get('conditionType') in true for gate in gates)}/{len(gates)}"


def _summarise(pod: JsonObject) -> _Summary:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = frozenset(c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    summary = _Summary(
        reason=status.get("reason") or status.get("phase") or "",
        total=len(spec.get("containers") or ()) + len(sidecars),
        sidecars=sidecars,
    )
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    if conditions.get("PodScheduled", {}).get("reason") == "SchedulingGated":
        summary.reason = "SchedulingGated"
    initializing = _init_containers(summary, spec, status)
    if not initializing or conditions.get("Initialized", {}).get("status") == "True":
        _containers(summary, status.get("containerStatuses") or (), conditions)
    _terminating(summary, pod, status)
    return summary


def _init_containers(summary: _Summary, spec: JsonObject, status: JsonObject) -> bool:
    """Whether a pod is still initializing; its reason then says where."""
    count = len(spec.get("initContainers") or ())
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        state = container.get("state") or {}
        restarts, last = int(container.get("restartCount") or 0), _last_restart(container)
        summary.restarts += restarts
        summary.last_restart = _newest(summary.last_restart, last)
        sidecar = container.get("name") in summary.sidecars
        if sidecar:
            summary.restartable_restarts += restarts
            summary.restartable_last = _newest(summary.restartable_last, last)
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if sidecar and container.get("started"):
            summary.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            summary.reason = "Init:" + _ended(terminated)
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            summary.reason = "Init:" + waiting["reason"]
        else:
            summary.reason = f"Init:{index}/{count}"
        return True
    return False


def _containers(summary: _Summary, statuses: Sequence[JsonObject], conditions: dict[Any, JsonObject]) -> None:
    summary.restarts, summary.last_restart = summary.restartable_restarts, summary.restartable_last
    running = False
    for container in reversed(statuses):
        summary.restarts += int(container.get("restartCount") or 0)
        summary.last_restart = _newest(summary.last_restart, _last_restart(container))
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            summary.reason = waiting["reason"]
        elif terminated is not None:
            summary.reason = _ended(terminated)
        elif container.get("ready") and "running" in state:
            running = True
            summary.ready += 1
    if summary.reason == "Completed" and running:
        summary.reason = "Running" if conditions.get("Ready", {}).get("status") == "True" else "NotReady"


def _terminating(summary: _Summary, pod: JsonObject, status: JsonObject) -> None:
    if not pod["metadata"].get("deletionTimestamp"):
        return
    if status.get("reason") == "NodeLost":
        summary.reason = "Unknown"
    elif status.get("phase") not in ("Succeeded", "Failed"):
        summary.reason = "Terminating"


def _ended(terminated: JsonObject) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _last_restart(container: JsonObject) -> datetime | None:
    return parse_time(((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt"))


def _newest(a: datetime | None, b: datetime | None) -> datetime | None:
    if a is None or b is None:
        return a or b
    return max(a, b)


def _conditions(pod: JsonObject) -> list[JsonObject]:
    phase = (pod.get("status") or {}).get("phase")
    if phase == "Succeeded":
        message = "The pod has completed successfully."
    elif phase == "Failed":
        message = "The pod failed."
    else:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]


PODS = TableView(
    columns=(
        NAME,
        column("Ready"),
        column("Status"),
        column("Restarts"),
        AGE,
        column("IP", wide=True),
        column("Node", wide=True),
        column("Nominated Node", wide=True),
        column("Readiness Gates", wide=True),
    ),
    cells=_cells,
    conditions=_conditions,
)
