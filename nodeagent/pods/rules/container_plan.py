"""The container rules of a plan: how far initialization is, and which containers to kill, keep and start.

Source: docs/facts/pod-lifecycle.md 4.2 and 4.3. Both rules fill in a draft; nothing here looks at back-off.
"""

from dataclasses import dataclass, field

from lightkube.models.core_v1 import Container

from nodeagent.pods.rules.model import Instance, KillContainer, Memory, Observed, ProbeResults, RemoveContainer
from nodeagent.pods.rules.replacement import is_replaced
from nodeagent.pods.rules.restart import restarts_after_exit, restarts_after_kill
from nodeagent.pods.rules.runtime_view import CREATED, EXITED, RUNNING, UNKNOWN, definition_changed, newest, succeeded
from nodeagent.pods.rules.termination import container_grace_seconds
from nodeagent.podspec.pod import AgentPod

_NO_RESULTS = ProbeResults()


@dataclass(slots=True, kw_only=True)
class Draft:
    """A plan in the making: names of containers to start by list, and everything else as the plan has it."""

    kill_pod: bool = False
    kill: list[KillContainer] = field(default_factory=list)
    remove: list[RemoveContainer] = field(default_factory=list)
    create_sandbox: int | None = None
    sandbox_changed: bool = False
    ephemeral: list[str] = field(default_factory=list)
    init: list[str] = field(default_factory=list)
    regular: list[str] = field(default_factory=list)


def plan_init(pod: AgentPod, observed: Observed, memory: Memory, draft: Draft) -> bool:
    """Fill in what init containers and sidecars need; return whether regular containers may run.

    The scan goes from the last to the first, because records of finished init containers may have been removed: the first
    one with a record is the frontier. Before it only sidecars matter.
    """
    init = pod.spec.initContainers or []
    if not init:
        return True
    initialized = any(_is_alive(newest(observed, container.name)) for container in pod.spec.containers)
    behind_frontier = initialized
    for index in range(len(init) - 1, -1, -1):
        container = init[index]
        sidecar = container.restartPolicy == "Always"
        instance = newest(observed, container.name)
        if instance is None:
            if behind_frontier and sidecar:
                draft.init.append(container.name)
            continue
        if behind_frontier and not sidecar:
            continue
        if sidecar:
            done = _plan_sidecar(pod, container, instance, memory, draft)
        else:
            done = _plan_init_container(pod, container, instance, memory, draft)
        if draft.kill_pod:
            return False
        if done and not behind_frontier:
            if index == len(init) - 1:
                initialized = True
            else:
                draft.init.append(init[index + 1].name)
        behind_frontier = True
    if not behind_frontier:
        draft.init.append(init[0].name)
    if pod.is_deleted:
        draft.init.clear()
    return initialized


def plan_regular(pod: AgentPod, observed: Observed, memory: Memory, draft: Draft) -> None:
    """Fill in what regular containers need. With none to keep and none to start the whole pod ends."""
    kept = 0
    for container in pod.spec.containers:
        instance = newest(observed, container.name)
        if instance is None or instance.status.state != RUNNING:
            _plan_stopped(pod, container, instance, memory, draft)
            continue
        kill = _reason_to_kill(pod, container, instance, memory)
        if kill is None:
            kept += 1
            continue
        action, restart = kill
        draft.kill.append(action)
        if restart:
            draft.regular.append(container.name)
    if not kept and not draft.regular:
        draft.kill_pod = True


def _is_alive(instance: Instance | None) -> bool:
    return instance is not None and instance.status.state in (CREATED, RUNNING)


def _plan_stopped(pod: AgentPod, container: Container, instance: Instance | None, memory: Memory, draft: Draft) -> None:
    if pod.is_deleted:
        return
    if instance is not None and instance.status.state == EXITED:
        if is_replaced(memory, instance.status.id) or restarts_after_exit(pod, container, instance.status.exit_code):
            draft.regular.append(container.name)
        return
    draft.regular.append(container.name)
    if instance is not None and instance.status.state == UNKNOWN:
        # it may be running after all, and two of them must not
        message = 'Container is in "unknown" state, try killing it before restart'
        draft.kill.append(KillContainer(container_id=instance.status.id, name=container.name, message=message))


def _reason_to_kill(
    pod: AgentPod, container: Container, instance: Instance, memory: Memory
) -> tuple[KillContainer, bool] | None:
    """(the kill, whether to start again) of a running regular container; None: keep it."""
    results = memory.probes.get(instance.status.id, _NO_RESULTS)
    restart = restarts_after_kill(pod, container)
    grace_seconds: int | None = None
    if definition_changed(container, instance.status):
        restart = True  # regardless of the restart policy: what runs is not what is wanted
        message = f"Container {container.name} definition changed"
    elif results.live is False:
        message = f"Container {container.name} failed liveness probe"
        grace_seconds = container_grace_seconds(pod, probe=container.livenessProbe)
    elif results.started is False:
        message = f"Container {container.name} failed startup probe"
        grace_seconds = container_grace_seconds(pod, probe=container.startupProbe)
    elif instance.status.id in memory.restarts:
        return _kill_to_restart(container, instance, memory), True
    else:
        return None
    if restart:
        message += ", will be restarted"
    kill = KillContainer(
        container_id=instance.status.id, name=container.name, message=message, grace_seconds=grace_seconds
    )
    return kill, restart


def _plan_init_container(pod: AgentPod, container: Container, instance: Instance, memory: Memory, draft: Draft) -> bool:
    """Section 4.3, a regular init container at the frontier; True: the next one may start."""
    state = instance.status.state
    if state == RUNNING and instance.status.id in memory.restarts:
        draft.kill.append(_kill_to_restart(container, instance, memory))
        draft.init.append(container.name)
        return False
    if state == EXITED and is_replaced(memory, instance.status.id):
        draft.init.append(container.name)
        return False
    if state == RUNNING:
        return False
    if state == CREATED:
        draft.init.append(container.name)
        return False
    if succeeded(instance.status):
        return True
    # OOMKilled with exit code 0 is a failure all the same; an unknown end is one that no rule names
    exit_code = (instance.status.exit_code or 137) if state == EXITED else 137
    if not restarts_after_exit(pod, container, exit_code):
        draft.kill_pod = True
        return False
    if state == UNKNOWN:
        draft.kill.append(_kill_unknown_init(container, instance))
    draft.init.append(container.name)
    return False


def _plan_sidecar(pod: AgentPod, container: Container, instance: Instance, memory: Memory, draft: Draft) -> bool:
    """Section 4.3, a sidecar; True: it has started, the next one may."""
    status = instance.status
    if status.state != RUNNING:
        if status.state == UNKNOWN:
            draft.kill.append(_kill_unknown_init(container, instance))
        draft.init.append(container.name)
        return False
    results = memory.probes.get(status.id, _NO_RESULTS)
    if container.startupProbe is not None and not results.started:
        if results.started is False:
            message = f"Init container {container.name} failed startup probe"
            grace_seconds = container_grace_seconds(pod, probe=container.startupProbe)
            _restart_sidecar(container, instance, message, draft, grace_seconds)
        return False
    if definition_changed(container, status):
        _restart_sidecar(container, instance, f"Init container {container.name} definition changed", draft)
    elif results.live is False:
        message = f"Init container {container.name} failed liveness probe"
        grace_seconds = container_grace_seconds(pod, probe=container.livenessProbe)
        _restart_sidecar(container, instance, message, draft, grace_seconds)
    elif status.id in memory.restarts:
        draft.kill.append(_kill_to_restart(container, instance, memory))
        draft.init.append(container.name)
    return True


def _restart_sidecar(
    container: Container, instance: Instance, message: str, draft: Draft, grace_seconds: int | None = None
) -> None:
    draft.kill.append(
        KillContainer(
            container_id=instance.status.id, name=container.name, message=message, grace_seconds=grace_seconds
        )
    )
    draft.init.append(container.name)


def _kill_to_restart(container: Container, instance: Instance, memory: Memory) -> KillContainer:
    """For a feature of pods, which says why."""
    id = instance.status.id
    return KillContainer(container_id=id, name=container.name, message=memory.restarts[id])


def _kill_unknown_init(container: Container, instance: Instance) -> KillContainer:
    message = 'Init container is in "unknown" state, try killing it before restart'
    return KillContainer(container_id=instance.status.id, name=container.name, message=message)
