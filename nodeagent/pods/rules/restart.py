"""Whether a container that has ended, or is to be killed, starts again.

Source: docs/facts/pod-lifecycle.md 4.2 and 4.5.
"""

from lightkube.models.core_v1 import ContainerRestartRule

from nodeagent.podspec.containers import AnyContainer
from nodeagent.podspec.pod import AgentPod

RESTART = "Restart"
RESTART_ALL = "RestartAllContainers"


def rule_action(container: AnyContainer, exit_code: int) -> str | None:
    """The action of the first of the container's restart rules that matches the exit code."""
    for rule in container.restartPolicyRules or ():
        if _matches(rule, exit_code):
            return rule.action
    return None


def restarts_after_exit(pod: AgentPod, container: AnyContainer, exit_code: int) -> bool:
    """The restart decision for an exited container: its rules, its own policy, else the pod's policy."""
    if container.restartPolicy:
        if rule_action(container, exit_code) in (RESTART, RESTART_ALL):
            return True
        return _policy_allows(container.restartPolicy, exit_code)
    return _policy_allows(pod.spec.restartPolicy or "Always", exit_code)


def restarts_after_kill(pod: AgentPod, container: AnyContainer) -> bool:
    """Whether a container killed for a failed probe starts again; no exit code and no rule is asked."""
    return (container.restartPolicy or pod.spec.restartPolicy or "Always") != "Never"


def has_restart_all_rule(pod: AgentPod) -> bool:
    """Whether any init or regular container may restart the whole pod in place."""
    return any(
        rule.action == RESTART_ALL
        for container in (*(pod.spec.initContainers or ()), *pod.spec.containers)
        for rule in container.restartPolicyRules or ()
    )


def _policy_allows(policy: str, exit_code: int) -> bool:
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _matches(rule: ContainerRestartRule, exit_code: int) -> bool:
    if rule.exitCodes is None:
        return False
    listed = exit_code in (rule.exitCodes.values or ())
    return listed if rule.exitCodes.operator == "In" else not listed
