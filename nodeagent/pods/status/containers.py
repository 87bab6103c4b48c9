"""Container statuses: what a pod's status says of each container of its spec.

Source: docs/facts/pod-lifecycle.md 6.4 and 5.2. The newest instance in the runtime gives the state, the second newest the last
state; what the runtime no longer knows is carried over from the previous status.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from lightkube.models.core_v1 import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    ResourceRequirements,
    ResourceStatus,
    VolumeMount,
    VolumeMountStatus,
)

from nodeagent.pods.rules.model import Memory, Observed, ProbeResults, StartFailure
from nodeagent.pods.rules.replacement import is_replaced
from nodeagent.pods.rules.restart import restarts_after_exit
from nodeagent.pods.rules.restart_all import triggers
from nodeagent.pods.rules.runtime_view import (
    CREATED,
    EXITED,
    RUNNING,
    UNKNOWN,
    instances_of,
    newest,
    restart_count_of,
)
from nodeagent.pods.status.container_resources import allocated_resources, reported_resources, reported_user
from nodeagent.pods.status.phase import RESTARTING_ALL
from nodeagent.podspec.containers import AnyContainer, ContainerKind
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri

LOST_EXIT_CODE = 137  # a run whose end nobody saw counts as killed
STATUS_UNKNOWN = "ContainerStatusUnknown"
LOST_AT_TERMINATION = "The container could not be located when the pod was terminated"
LOST_WHILE_RUNNING = "The container could not be located when the pod was deleted.  The container used to be Running"
INIT_RECORD_LOST = (
    "Unable to get init container status from container runtime "
    "and pod has been initialized, treat it as exited normally"
)
REMOVED_FOR_RESTART = "The container is removed because RestartAllContainers in place"

_IMAGE_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")
_NO_STATE = ContainerState()
_NO_RESULTS = ProbeResults()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusContext:
    """What all container statuses of one pod are made from.

    `regular_started`: a regular container of the current sandbox has started, so initialization is behind.
    `restarting_all`: all containers are being removed to start over (docs/facts/pod-lifecycle.md 4.6).
    `recursive_read_only`: the pod's runtime can make mounts recursively read-only. `in_force`: container id -> its resources.
    `health`: container name -> how the resources are that it has for itself.
    """

    pod: AgentPod
    observed: Observed
    memory: Memory
    runtime_name: str
    regular_started: bool
    restarting_all: bool
    recursive_read_only: bool
    in_force: Mapping[str, ResourceRequirements]
    health: Mapping[str, tuple[ResourceStatus, ...]]


def container_statuses(
    context: StatusContext,
    containers: Iterable[tuple[ContainerKind, AnyContainer]],
    previous: Iterable[ContainerStatus] | None,
) -> list[ContainerStatus]:
    """One status per container, in the order given."""
    before = {status.name: status for status in previous or ()}
    return [_one(context, kind, container, before.get(container.name)) for kind, container in containers]


def lost_at_termination() -> ContainerStateTerminated:
    """The end of a container that nobody saw end."""
    return ContainerStateTerminated(exitCode=LOST_EXIT_CODE, reason=STATUS_UNKNOWN, message=LOST_AT_TERMINATION)


def _one(
    context: StatusContext, kind: ContainerKind, container: AnyContainer, old: ContainerStatus | None
) -> ContainerStatus:
    instances = list(instances_of(context.observed, container.name))
    if instances and not _stopped_for_restart_all(context, kind, container, instances[0].status, old):
        status = _from_instance(context, container, instances[0].status, old)
        if len(instances) > 1:
            status.lastState = _state(context, instances[1].status, None)
        else:
            status.lastState = _carried_last_state(status, old)
    else:
        status = _without_instance(context, kind, container, old)
    _show_replacement(context, status)
    _show_start_failure(context, kind, container, status)
    _set_started_and_ready(context, kind, container, status, old)
    if kind is ContainerKind.REGULAR:  # upstream tells of no other
        # when the pod has ended its devices are others': what was known of them last may be why it has
        known = list(context.health.get(container.name, ())) or None
        status.allocatedResourcesStatus = known or (old.allocatedResourcesStatus if old is not None else None)
    return status


# -- a container that the runtime knows --------------------------------------------------------------------------------


def _from_instance(
    context: StatusContext, container: AnyContainer, found: cri.ContainerStatus, old: ContainerStatus | None
) -> ContainerStatus:
    state, count = _state(context, found, old), restart_count_of(found)
    if old is not None:
        count = max(count, _count_after(state, found, old, count))
    resources = container.resources
    between = found.state == RUNNING or is_replaced(
        context.memory, found.id
    )  # what is over for good starts with the newest
    in_force = context.in_force.get(found.id) if between else None
    return ContainerStatus(
        name=container.name,
        image=_image(container, found),
        imageID=found.image_ref,
        containerID=_container_id(context, found),
        ready=False,
        restartCount=count,
        state=state,
        allocatedResources=allocated_resources(resources),
        resources=reported_resources(resources, in_force, found),
        user=reported_user(found),
        volumeMounts=_volume_mounts(context, container, old),
    )


def _count_after(state: ContainerState, found: cri.ContainerStatus, old: ContainerStatus, count: int) -> int:
    """The restart count that the previous status implies, where the runtime has lost records."""
    before = old.state or _NO_STATE
    if found.state == UNKNOWN and before.running is not None:
        return old.restartCount + 1  # counted once: the next status has this one, which is terminated, before it
    if state.running is not None and before.terminated is not None and old.restartCount >= count:
        return old.restartCount + 1
    return old.restartCount


def _state(context: StatusContext, found: cri.ContainerStatus, old: ContainerStatus | None) -> ContainerState:
    if found.state == RUNNING:
        return ContainerState(running=ContainerStateRunning(startedAt=_second(found.started_at)))
    if found.state == EXITED:
        return ContainerState(
            terminated=ContainerStateTerminated(
                exitCode=found.exit_code,
                reason=found.reason or None,
                message=found.message or None,
                startedAt=_second(found.started_at),
                finishedAt=_second(found.finished_at),
                containerID=_container_id(context, found),
            )
        )
    before = (old.state if old is not None else None) or _NO_STATE
    if found.state == UNKNOWN and before.running is not None:
        return ContainerState(terminated=lost_at_termination())
    lost_before = before.terminated is not None and before.terminated.reason == STATUS_UNKNOWN
    if found.state == UNKNOWN and lost_before and old is not None and old.containerID == _container_id(context, found):
        return ContainerState(terminated=before.terminated)
    return ContainerState(waiting=ContainerStateWaiting())


def _carried_last_state(status: ContainerStatus, old: ContainerStatus | None) -> ContainerState | None:
    """The last state where the runtime keeps only the newest run."""
    if old is None:
        return None
    if old.containerID != status.containerID and old.state is not None and old.state.terminated is not None:
        return ContainerState(terminated=old.state.terminated)
    return old.lastState


# -- a container of which the runtime has no record --------------------------------------------------------------------


def _without_instance(
    context: StatusContext, kind: ContainerKind, container: AnyContainer, old: ContainerStatus | None
) -> ContainerStatus:
    before = (old.state if old is not None else None) or _NO_STATE
    if context.restarting_all and kind is not ContainerKind.EPHEMERAL:
        return _removed_for_restart(context, container, old)
    if old is not None and before.terminated is not None:
        return msgspec.structs.replace(old)
    if kind is ContainerKind.INIT and context.regular_started:
        return _blank(
            context,
            container,
            old,
            ContainerState(
                terminated=ContainerStateTerminated(exitCode=0, reason="Completed", message=INIT_RECORD_LOST)
            ),
        )
    reason = "PodInitializing" if context.pod.spec.initContainers else "ContainerCreating"
    status = _blank(context, container, old, ContainerState(waiting=ContainerStateWaiting(reason=reason)))
    had_ended = status.lastState is not None and status.lastState.terminated is not None
    if before.running is not None and not had_ended:
        lost = ContainerStateTerminated(exitCode=LOST_EXIT_CODE, reason=STATUS_UNKNOWN, message=LOST_WHILE_RUNNING)
        status.lastState = ContainerState(terminated=lost)
        if not context.pod.is_deleted:
            status.restartCount += 1
    return status


def _stopped_for_restart_all(
    context: StatusContext,
    kind: ContainerKind,
    container: AnyContainer,
    found: cri.ContainerStatus,
    old: ContainerStatus | None,
) -> bool:
    """Whether it has ended only because everything starts over: it is shown as removed, which it is next.

    Upstream kills and removes within one sync; nobody sees the exits, which under Never would be the pod's end.
    """
    if not context.restarting_all or kind is ContainerKind.EPHEMERAL or found.state != EXITED or old is None:
        return False
    before = old.state or _NO_STATE
    shown = before.waiting is not None and before.waiting.reason == RESTARTING_ALL
    return (shown or before.running is not None) and container.name not in triggers(context.pod, context.observed)


def _removed_for_restart(
    context: StatusContext, container: AnyContainer, old: ContainerStatus | None
) -> ContainerStatus:
    waiting = ContainerStateWaiting(reason=RESTARTING_ALL, message=REMOVED_FOR_RESTART)
    status = _blank(context, container, old, ContainerState(waiting=waiting))
    before = (old.state if old is not None else None) or _NO_STATE
    counted = before.waiting is not None and before.waiting.reason == RESTARTING_ALL
    ran = before.running is not None or before.terminated is not None
    if ran and not counted:
        status.restartCount += 1
        status.lastState = ContainerState(
            terminated=ContainerStateTerminated(
                exitCode=LOST_EXIT_CODE, reason=RESTARTING_ALL, message=REMOVED_FOR_RESTART
            )
        )
    return status


def _blank(
    context: StatusContext, container: AnyContainer, old: ContainerStatus | None, state: ContainerState
) -> ContainerStatus:
    return ContainerStatus(
        name=container.name,
        image=container.image or "",
        imageID="",
        ready=False,
        restartCount=old.restartCount if old is not None else 0,
        state=state,
        lastState=old.lastState if old is not None else None,
        volumeMounts=_volume_mounts(context, container, old),
    )


# -- what is laid over the state ---------------------------------------------------------------------------------------


def _show_replacement(context: StatusContext, status: ContainerStatus) -> None:
    """Its end is not the container's: it waits for its next run, which no restart policy has a say in."""
    ended = status.state.terminated if status.state is not None else None
    if ended is not None and is_replaced(context.memory, _bare_id(status.containerID)):
        status.lastState = ContainerState(terminated=ended)
        status.state = ContainerState(waiting=ContainerStateWaiting(reason="ContainerCreating"))


def _show_start_failure(
    context: StatusContext, kind: ContainerKind, container: AnyContainer, status: ContainerStatus
) -> None:
    """A container that is to start but could not shows why; its last run moves to the last state."""
    failure = context.memory.start_failures.get(container.name)
    if failure is None or not _is_to_start(context, kind, container):
        return
    if status.state is not None and status.state.terminated is not None:
        status.lastState = ContainerState(terminated=status.state.terminated)
    status.state = _waiting(failure)


def _waiting(failure: StartFailure) -> ContainerState:
    return ContainerState(waiting=ContainerStateWaiting(reason=failure.reason, message=failure.message or None))


def _is_to_start(context: StatusContext, kind: ContainerKind, container: AnyContainer) -> bool:
    """Whether the container "should be restarted", as far as the runtime's record and its policy tell."""
    if context.pod.is_deleted:
        return False
    instance = newest(context.observed, container.name)
    if instance is None or instance.status.state in (CREATED, UNKNOWN):
        return True
    if instance.status.state == RUNNING or kind is ContainerKind.EPHEMERAL:
        return False
    if is_replaced(context.memory, instance.status.id):
        return True
    if kind is ContainerKind.INIT and instance.status.exit_code == 0:
        return False
    return restarts_after_exit(context.pod, container, instance.status.exit_code)


def _set_started_and_ready(
    context: StatusContext,
    kind: ContainerKind,
    container: AnyContainer,
    status: ContainerStatus,
    old: ContainerStatus | None,
) -> None:
    state = status.state or _NO_STATE
    if kind is ContainerKind.EPHEMERAL:
        status.ready, status.started = False, None
        return
    status.started, status.ready = False, False
    if kind is ContainerKind.INIT:
        status.started = state.running is not None
        status.ready = state.terminated is not None and state.terminated.exitCode == 0
        return
    if state.running is None:
        return
    results = context.memory.probes.get(_bare_id(status.containerID))
    if results is None and old is not None and old.containerID == status.containerID:
        # no probe has looked since the agent started: what was said of this very container still stands (7.2, 15.2)
        results = ProbeResults(started=old.started, ready=old.ready)
    results = results or _NO_RESULTS
    status.started = container.startupProbe is None or results.started is True
    status.ready = status.started and (container.readinessProbe is None or results.ready is True)


def _volume_mounts(
    context: StatusContext, container: AnyContainer, old: ContainerStatus | None
) -> list[VolumeMountStatus] | None:
    """From the spec the first time, then frozen."""
    if old is not None and old.volumeMounts is not None:
        return old.volumeMounts
    mounts = [_volume_mount(mount, context.recursive_read_only) for mount in container.volumeMounts or ()]
    return mounts or None


def _volume_mount(mount: VolumeMount, recursive_read_only: bool) -> VolumeMountStatus:
    status = VolumeMountStatus(name=mount.name, mountPath=mount.mountPath, readOnly=mount.readOnly or None)
    if mount.readOnly:
        wanted = mount.recursiveReadOnly
        enabled = wanted == "Enabled" or (wanted == "IfPossible" and recursive_read_only)
        status.recursiveReadOnly = "Enabled" if enabled else "Disabled"
    return status


# -- small things ------------------------------------------------------------------------------------------------------


def by_name(statuses: Iterable[ContainerStatus] | None) -> Mapping[str, ContainerStatus]:
    return {status.name: status for status in statuses or ()}


def _container_id(context: StatusContext, found: cri.ContainerStatus) -> str:
    return f"{context.runtime_name}://{found.id}"


def _bare_id(container_id: str | None) -> str:
    return (container_id or "").partition("://")[2]


def _image(container: AnyContainer, found: cri.ContainerStatus) -> str:
    """The image as the runtime names it; an id is no name, so what was asked for stands in."""
    name = found.image.image
    if name and not _IMAGE_ID.fullmatch(name):
        return name
    return found.image.user_specified_image or container.image or name


def _second(nanoseconds: int) -> datetime | None:
    """A CRI time at the API's precision, whole seconds."""
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC) if nanoseconds else None
