"""The pod's status: a pure function of what is wanted, what is there, what is remembered and what was said before.

Source: docs/facts/pod-lifecycle.md 2.3, 5.2 and 6. The status made here says what the agent holds to be true; what of it may be
shown to the API already is decided in `status_patch.merge_for_patch`.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from lightkube.models.core_v1 import ContainerState, ContainerStatus, PodCondition, PodStatus, ResourceRequirements

from nodeagent.pods.features.contract import StatusAdditions
from nodeagent.pods.rules.model import Desired, Memory, NodeAddresses, Observed, PodStage
from nodeagent.pods.rules.replacement import stopped_names
from nodeagent.pods.rules.restart_all import triggers
from nodeagent.pods.rules.runtime_view import regular_container_started, sandbox_changed
from nodeagent.pods.status import conditions as make
from nodeagent.pods.status.containers import (
    StatusContext,
    by_name,
    container_statuses,
    lost_at_termination,
)
from nodeagent.pods.status.phase import FAILED, PENDING, is_terminal, pod_phase
from nodeagent.pods.status.pod_ips import host_ips, pod_ips
from nodeagent.podspec.containers import ContainerKind, containers
from nodeagent.podspec.effective import aggregated, as_quantities
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.qos import qos_class

_NO_STATE = ContainerState()
_NO_ADDITIONS = StatusAdditions()


def pod_status(
    desired: Desired,
    observed: Observed,
    memory: Memory,
    previous: PodStatus | None,
    node: NodeAddresses,
    now: datetime,
    *,
    runtime_name: str = "nodeagent",
    recursive_read_only: bool = False,
    additions: StatusAdditions = _NO_ADDITIONS,
) -> PodStatus:
    """The status at `now`. `previous`: the last one made by the agent, else the API's.

    `runtime_name` stands before `://` in container ids. `additions`: what the features of pods know.
    """
    pod = desired.pod
    api = pod.status or PodStatus()
    before = previous or api
    if memory.rejected is not None:
        return _rejected(desired, memory, before, now)
    made = PodStatus(
        startTime=_start_time(memory, before, api, now),
        qosClass=qos_class(pod.spec, api),
        observedGeneration=_observed_generation(pod, before),
        hostIPs=host_ips(node),
        podIPs=pod_ips(pod, observed, before if before.podIPs else api, node),
    )
    made.hostIP = made.hostIPs[0].ip if made.hostIPs else None
    made.podIP = made.podIPs[0].ip if made.podIPs else None
    _add_resources(made, pod, additions.resources)
    _add_containers(made, desired, observed, memory, before, runtime_name, recursive_read_only, additions)
    made.phase, made.reason, made.message = _phase(made, desired, observed, memory, before)
    made.conditions = [
        *_foreign(api),
        *additions.conditions,
        *_own_conditions(made, desired, observed, memory, before, now),
    ]
    if memory.stage is PodStage.FINISHED:
        _finish(made, desired)
    return made


# -- scalars -----------------------------------------------------------------------------------------------------------


def _rejected(desired: Desired, memory: Memory, before: PodStatus, now: datetime) -> PodStatus:
    """Section 3.1: a pod refused at admission has no conditions and no container statuses."""
    assert memory.rejected is not None
    api = desired.pod.status or PodStatus()
    return PodStatus(
        phase=FAILED,
        reason=memory.rejected.reason,
        message=f"Pod was rejected: {memory.rejected.message}",
        startTime=_start_time(memory, before, api, now),
        qosClass=qos_class(desired.pod.spec, api),
        observedGeneration=_observed_generation(desired.pod, before),
    )


def _start_time(memory: Memory, before: PodStatus, api: PodStatus, now: datetime) -> datetime:
    return (before.startTime or api.startTime or memory.start_time or now).replace(microsecond=0)


def _observed_generation(pod: AgentPod, before: PodStatus) -> int | None:
    return max(pod.metadata.generation or 0, before.observedGeneration or 0) or None


def _add_resources(made: PodStatus, pod: AgentPod, actual: ResourceRequirements | None) -> None:
    """Pod-level resources: aggregated, without overhead."""
    requests, limits = as_quantities(aggregated(pod.spec, "requests")), as_quantities(aggregated(pod.spec, "limits"))
    made.allocatedResources = requests or None
    made.resources = actual or ResourceRequirements(requests=requests or None, limits=limits or None)


# -- containers and phase ----------------------------------------------------------------------------------------------


def _add_containers(
    made: PodStatus,
    desired: Desired,
    observed: Observed,
    memory: Memory,
    before: PodStatus,
    runtime_name: str,
    recursive_read_only: bool,
    additions: StatusAdditions,
) -> None:
    restarting = make.is_true(before.conditions, make.RESTARTING_ALL) or bool(triggers(desired.pod, observed))
    context = StatusContext(
        pod=desired.pod,
        observed=observed,
        memory=memory,
        runtime_name=runtime_name,
        regular_started=regular_container_started(desired.pod, observed),
        restarting_all=restarting,
        recursive_read_only=recursive_read_only,
        in_force=additions.container_resources,
        health=additions.health,
    )
    listed = list(containers(desired.pod))
    init = [item for item in listed if item[0] in (ContainerKind.INIT, ContainerKind.SIDECAR)]
    regular = [item for item in listed if item[0] is ContainerKind.REGULAR]
    ephemeral = [item for item in listed if item[0] is ContainerKind.EPHEMERAL]
    made.initContainerStatuses = container_statuses(context, init, before.initContainerStatuses) or None
    made.containerStatuses = _sorted(container_statuses(context, regular, before.containerStatuses))
    made.ephemeralContainerStatuses = _sorted(container_statuses(context, ephemeral, before.ephemeralContainerStatuses))


def _sorted(statuses: list[ContainerStatus]) -> list[ContainerStatus] | None:
    return sorted(statuses, key=lambda status: status.name) or None


def _phase(
    made: PodStatus, desired: Desired, observed: Observed, memory: Memory, before: PodStatus
) -> tuple[str, str | None, str | None]:
    """(phase, reason, message). A terminal phase, once said or once in the API, is never left."""
    api = desired.pod.status or PodStatus()
    phase = pod_phase(
        desired.pod,
        by_name(made.initContainerStatuses),
        by_name(made.containerStatuses),
        regular_started=regular_container_started(desired.pod, observed),
        ended=memory.stage in (PodStage.TERMINATED, PodStage.FINISHED) and not desired.pod.is_static,
        replaced=stopped_names(observed, memory),
    )
    if not is_terminal(phase):
        phase = next((known for known in (before.phase, api.phase) if known and is_terminal(known)), phase)
    reason, message = None, None
    if phase == before.phase:
        reason, message = before.reason or api.reason, before.message or api.message
    termination = memory.termination
    if termination is not None:
        phase = FAILED if termination.failed else phase
        reason, message = termination.reason or reason, termination.message or message
    if api.phase and is_terminal(api.phase) and phase != api.phase:
        phase = api.phase
    return phase, reason, message


def _finish(made: PodStatus, desired: Desired) -> None:
    """Section 6.4, final pass: containers that nobody saw end are ended, and the pod with them."""
    regular, init = made.containerStatuses or [], made.initContainerStatuses or []
    if _was_initialized(desired.pod, init, regular):
        _end_all(regular)
    _end_all(init[: max(1, _last_started(init) + 1)])
    if not desired.pod.is_static and not is_terminal(made.phase or PENDING):
        made.phase = FAILED


def _end_all(statuses: Sequence[ContainerStatus]) -> None:
    for item in statuses:
        if item.state is None or item.state.terminated is None:
            item.state = ContainerState(terminated=lost_at_termination())
            item.ready, item.started = False, False


def _was_initialized(pod: AgentPod, init: Sequence[ContainerStatus], regular: Sequence[ContainerStatus]) -> bool:
    if not init or any(_ever_ran(item) for item in regular):
        return True
    last, spec = init[-1], (pod.spec.initContainers or [])[-1]
    if spec.restartPolicy == "Always":
        return bool(last.started)
    ends = ((last.state or _NO_STATE).terminated, (last.lastState or _NO_STATE).terminated)
    return any(end is not None and end.exitCode == 0 for end in ends)


def _last_started(init: Sequence[ContainerStatus]) -> int:
    return max((index for index, item in enumerate(init) if _ever_ran(item)), default=-1)


def _ever_ran(item: ContainerStatus) -> bool:
    state, last = item.state or _NO_STATE, item.lastState or _NO_STATE
    return (state.running or state.terminated or last.terminated) is not None


# -- conditions --------------------------------------------------------------------------------------------------------


def _foreign(api: PodStatus) -> list[PodCondition]:
    return [
        condition
        for condition in api.conditions or ()
        if condition.type not in make.OWNED and condition.type != make.DISRUPTION_TARGET
    ]


def _own_conditions(
    made: PodStatus, desired: Desired, observed: Observed, memory: Memory, before: PodStatus, now: datetime
) -> list[PodCondition]:
    pod, phase = desired.pod, made.phase or PENDING
    init, regular = by_name(made.initContainerStatuses), by_name(made.containerStatuses)
    restarting_all = make.restarting_all(pod, observed, phase)
    was_initialized = restarting_all is not None and make.is_true(before.conditions, make.INITIALIZED)
    containers_ready = make.containers_ready(pod, init, regular, phase)
    generated = [
        make.ready_to_start(sandbox_ok=not sandbox_changed(pod, observed)),
        make.initialized(pod, init, regular, phase, was_true=was_initialized),
        make.ready(pod, containers_ready, _foreign(pod.status or PodStatus())),
        containers_ready,
        make.scheduled(),
    ]
    if restarting_all is not None:
        generated.append(restarting_all)
    generation = None if desired.pod.is_static else pod.metadata.generation or None
    stamped = make.stamped(generated, before.conditions, now, generation)
    disruption = _disruption_target(desired, memory, before, now, generation)
    return stamped if disruption is None else [disruption, *stamped]


def _disruption_target(
    desired: Desired, memory: Memory, before: PodStatus, now: datetime, generation: int | None
) -> PodCondition | None:
    """The agent's own, else whoever's there is."""
    api = desired.pod.status or PodStatus()
    known = make.find(before.conditions, make.DISRUPTION_TARGET) or make.find(api.conditions, make.DISRUPTION_TARGET)
    if memory.termination is None or not memory.termination.disruption_message:
        return None if known is None else msgspec.structs.replace(known)
    own = make.disruption_target(memory.termination.disruption_message)
    return make.stamped([own], before.conditions or api.conditions, now, generation)[0]
