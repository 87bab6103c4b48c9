"""RestartAllContainers: one container's exit removes all of them, and the pod starts over in its sandbox.

Source: docs/facts/pod-lifecycle.md 4.6. Containers whose exit asks for it are removed last, so that a pass that was cut short is
taken up again from what the runtime holds.
"""

from nodeagent.pods.rules.model import Instance, KillContainer, Observed, Plan, RemoveContainer
from nodeagent.pods.rules.restart import RESTART_ALL, rule_action
from nodeagent.pods.rules.runtime_view import EXITED, RUNNING, UNKNOWN, instances_of, newest
from nodeagent.podspec.containers import AnyContainer
from nodeagent.podspec.pod import AgentPod


def triggers(pod: AgentPod, observed: Observed) -> frozenset[str]:
    """Names of init and regular containers whose newest run ended with a code that restarts the whole pod."""
    if pod.is_deleted:
        return frozenset()
    return frozenset(
        container.name
        for container in (*(pod.spec.initContainers or ()), *pod.spec.containers)
        if _asks(container, newest(observed, container.name))
    )


def plan_restart_all(pod: AgentPod, observed: Observed) -> Plan | None:
    """Kill and remove every init and regular container; None: nothing asks for it."""
    asking = triggers(pod, observed)
    if not asking:
        return None
    regular = [container.name for container in pod.spec.containers]
    init = [container.name for container in pod.spec.initContainers or ()]
    order = [name for name in (*regular, *init) if name not in asking]
    order += [name for name in (*regular, *init) if name in asking]
    targets = [(name, instance) for name in order for instance in instances_of(observed, name)]
    return Plan(
        kill=tuple(
            KillContainer(
                container_id=instance.status.id, name=name, message="killing", grace_seconds=0, run_pre_stop=False
            )
            for name, instance in targets
            if instance.status.state in (RUNNING, UNKNOWN)
        ),
        remove=tuple(
            RemoveContainer(container_id=instance.status.id, name=name, keep_logs=True) for name, instance in targets
        ),
    )


def _asks(container: AnyContainer, instance: Instance | None) -> bool:
    if instance is None or instance.status.state != EXITED:
        return False
    return rule_action(container, instance.status.exit_code) == RESTART_ALL
