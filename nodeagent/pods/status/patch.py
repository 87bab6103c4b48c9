"""From the agent's own status to what is sent: merging with the live object, and the smallest patch.

Source: docs/facts/pod-lifecycle.md 2.3, 2.5 and 6.5.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec
from lightkube.models.core_v1 import ContainerState, ContainerStatus, PodCondition, PodStatus

from nodeagent.pods.rules.restart import has_restart_all_rule, restarts_after_exit
from nodeagent.pods.status import conditions as make
from nodeagent.pods.status.phase import is_terminal
from nodeagent.podspec.containers import find_container
from nodeagent.podspec.pod import AgentPod

Json: TypeAlias = dict[str, object]

POD_TERMINATION_MESSAGES_BYTES = 12 * 1024
MERGE_KEYS = {"conditions": "type", "podIPs": "ip", "hostIPs": "ip"}


def merge_for_patch(api_status: PodStatus, own: PodStatus, *, containers_may_run: bool | None = None) -> PodStatus:
    """The status to show: `own`, with what others own in the live object, and with a terminal phase only when it is time.

    `containers_may_run`: the pod's containers are not yet known to have stopped (stages SYNC and TERMINATING); until then
    phase, reason and message stay as they are in the API. None: derived from the container statuses.
    """
    merged = msgspec.structs.replace(own)
    if containers_may_run is None:
        containers_may_run = any(_runs(status) for status in _all_statuses(own))
    ending = is_terminal(own.phase) and not is_terminal(api_status.phase)
    merged.conditions = _merged_conditions(api_status, own, send_disruption=ending and not containers_may_run)
    if ending and containers_may_run:
        merged.phase, merged.reason, merged.message = api_status.phase, api_status.reason, api_status.message
    elif is_terminal(api_status.phase) and own.phase != api_status.phase:
        merged.phase = api_status.phase  # never left
    if is_terminal(merged.phase):
        merged.conditions = [_not_ready_at_end(condition, merged.phase or "") for condition in merged.conditions]
    for field in ("resourceClaimStatuses", "extendedResourceClaimStatus", "nodeAllocatableResourceClaimStatuses"):
        setattr(merged, field, getattr(api_status, field))
    merged.qosClass = api_status.qosClass or own.qosClass
    merged.observedGeneration = max(own.observedGeneration or 0, api_status.observedGeneration or 0) or None
    _cut_messages(merged)
    return merged


def status_patch(old: PodStatus, new: PodStatus, uid: str) -> Json | None:
    """The two-way strategic merge patch for the `status` subresource, with the UID as precondition; None: no difference."""
    changes = _diff(_builtins(old), _builtins(new), MERGE_KEYS)
    return {"metadata": {"uid": uid}, "status": changes} if changes else None


def differs(one: PodStatus, other: PodStatus) -> bool:
    """Whether two statuses say different things: the conditions' times and generations, and others' conditions, aside."""
    if {key: _said(item) for key, item in _owned(one).items()} != {
        key: _said(item) for key, item in _owned(other).items()
    }:
        return True
    return msgspec.structs.replace(one, conditions=None) != msgspec.structs.replace(other, conditions=None)


def transition_error(pod: AgentPod, old: PodStatus, new: PodStatus) -> str | None:
    """Why a status may not follow another: a container that ended for good would come back. None: it may."""
    lists: Sequence[tuple[list[ContainerStatus] | None, list[ContainerStatus] | None]] = (
        (old.initContainerStatuses, new.initContainerStatuses),
        (old.containerStatuses, new.containerStatuses),
        (old.ephemeralContainerStatuses, new.ephemeralContainerStatuses),
    )
    for before, after in lists:
        states = {status.name: status.state or ContainerState() for status in after or ()}
        for status in before or ():
            ended = status.state.terminated if status.state is not None else None
            found = find_container(pod, status.name)
            if ended is None or found is None or status.name not in states:
                continue
            revived = states[status.name].terminated is None
            may_return = has_restart_all_rule(pod) or restarts_after_exit(pod, found[1], ended.exitCode)
            for_good = before is old.ephemeralContainerStatuses or not may_return
            if revived and for_good:
                return f"terminated container {status.name} attempted illegal transition to non-terminated state"
    return None


# -- merging -----------------------------------------------------------------------------------------------------------


def _merged_conditions(api_status: PodStatus, own: PodStatus, *, send_disruption: bool) -> list[PodCondition]:
    """Others' conditions as they are in the API, ours as we have them; the shared one only with the end of the pod."""
    kept = [condition for condition in api_status.conditions or () if condition.type not in make.OWNED]
    for condition in own.conditions or ():
        if condition.type in make.OWNED:
            kept.append(msgspec.structs.replace(condition))
        elif condition.type == make.DISRUPTION_TARGET and send_disruption:
            live = make.find(kept, make.DISRUPTION_TARGET)
            if live is not None:
                kept.remove(live)
            kept.append(_with_live_time(condition, live))
    return kept


def _with_live_time(condition: PodCondition, live: PodCondition | None) -> PodCondition:
    if live is None or live.status != condition.status:
        return condition
    return msgspec.structs.replace(condition, lastTransitionTime=live.lastTransitionTime)


def _not_ready_at_end(condition: PodCondition, phase: str) -> PodCondition:
    if condition.type not in (make.READY, make.CONTAINERS_READY) or condition.status != "True":
        return condition
    forced = make.not_ready_at_end(condition.type, phase)
    return msgspec.structs.replace(
        condition, status=forced.status, reason=forced.reason, message=None, lastProbeTime=None
    )


def _cut_messages(status: PodStatus) -> None:
    """Termination messages fit 12 KiB a pod, in equal shares."""
    lists = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    count = sum(len(getattr(status, name) or ()) for name in lists)
    if not count:
        return
    share = POD_TERMINATION_MESSAGES_BYTES // count
    for name in lists:
        statuses = getattr(status, name)
        if statuses:
            setattr(status, name, [_cut(item, share) for item in statuses])


def _cut(status: ContainerStatus, limit_bytes: int) -> ContainerStatus:
    return msgspec.structs.replace(
        status, state=_cut_state(status.state, limit_bytes), lastState=_cut_state(status.lastState, limit_bytes)
    )


def _cut_state(state: ContainerState | None, limit_bytes: int) -> ContainerState:
    if state is None:
        return ContainerState()  # an API server's JSON always has the field; leaving it out would differ for ever
    if state.terminated is None or not state.terminated.message:
        return state
    raw = state.terminated.message.encode()
    if len(raw) <= limit_bytes:
        return state
    message = raw[:limit_bytes].decode(errors="ignore")
    return ContainerState(terminated=msgspec.structs.replace(state.terminated, message=message))


def _all_statuses(status: PodStatus) -> Iterable[ContainerStatus]:
    yield from status.initContainerStatuses or ()
    yield from status.containerStatuses or ()
    yield from status.ephemeralContainerStatuses or ()


def _runs(status: ContainerStatus) -> bool:
    return status.state is not None and status.state.running is not None


# -- comparing ---------------------------------------------------------------------------------------------------------


def _owned(status: PodStatus) -> dict[str, PodCondition]:
    return {condition.type: condition for condition in status.conditions or () if condition.type in make.OWNED}


def _said(condition: PodCondition) -> tuple[str, str, str]:
    return (condition.status, condition.reason or "", condition.message or "")


def _builtins(status: PodStatus) -> Json:
    made: Json = msgspec.to_builtins(status)
    return made


def _diff(old: Json, new: Json, merge_keys: dict[str, str]) -> Json:
    """Changed and added fields as they are to be, removed ones as null; maps merge, so they recurse."""
    changes: Json = {}
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before == after or (key in merge_keys and not before and not after):
            continue  # an empty list and none are the same to a merge
        if key in merge_keys and isinstance(before or [], list) and isinstance(after or [], list):
            changes.update(_diff_list(key, merge_keys[key], _as_list(before), _as_list(after)))
        elif isinstance(before, dict) and isinstance(after, dict):
            changes[key] = _diff(before, after, {})
        else:
            changes[key] = after
    return changes


def _diff_list(field: str, merge_key: str, old: list[Json], new: list[Json]) -> Json:
    """A list merged by key: changed items, deleted items, and the order of what is left."""
    before = {item[merge_key]: item for item in old}
    after = {item[merge_key]: item for item in new}
    items: list[Json] = []
    for key, item in after.items():
        if key not in before:
            items.append(item)
        elif before[key] != item:
            items.append({merge_key: key, **_diff(before[key], item, {})})
    items += ({"$patch": "delete", merge_key: key} for key in before if key not in after)
    changes: Json = {f"$setElementOrder/{field}": [{merge_key: key} for key in after]}
    if items:
        changes[field] = items
    return changes


def _as_list(value: object) -> list[Json]:
    return value if isinstance(value, list) else []
