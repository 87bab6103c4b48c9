"""Which pods end together when the node shuts down, and how long they have. Pure. Source: docs/facts/node-resources.md 10."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nodeagent.config.kubelet import ShutdownByPriority
from nodeagent.podspec.pod import AgentPod
from runtimes.kube.duration import seconds

DEFAULT_PRIORITY = 0
CRITICAL_PRIORITY = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Pods of this priority and above, up to the next group's. `seconds`: what they have, and what is waited for them."""

    priority: int
    seconds: int


def groups_of(period: str, critical_pods: str, by_priority: Sequence[ShutdownByPriority]) -> tuple[Group, ...]:
    """In the order in which they end: the lowest priority first. Empty: a shutdown does not wait for pods.

    `period`, `critical_pods`: durations, all of it and the part of it for critical pods. `by_priority`: instead of them.
    """
    if by_priority:
        listed = (Group(priority=each.priority, seconds=each.shutdownGracePeriodSeconds) for each in by_priority)
        return tuple(sorted(listed, key=lambda group: group.priority))
    total, critical = seconds(period), seconds(critical_pods)
    if total <= 0:
        return ()
    return (
        Group(priority=DEFAULT_PRIORITY, seconds=int(total - critical)),
        Group(priority=CRITICAL_PRIORITY, seconds=int(critical)),
    )


def divided(pods: Iterable[AgentPod], groups: Sequence[Group]) -> list[tuple[Group, list[AgentPod]]]:
    """The groups that have pods, in order. A pod below all groups is of the lowest one; one without a priority has 0."""
    members: dict[Group, list[AgentPod]] = {group: [] for group in groups}
    for pod in pods:
        priority = pod.spec.priority or DEFAULT_PRIORITY
        of = [group for group in groups if group.priority <= priority]
        members[of[-1] if of else groups[0]].append(pod)
    return [(group, found) for group, found in members.items() if found]


def grace_seconds(pod: AgentPod, group: Group) -> int:
    """How long the pod has: its own period, or the group's where that is shorter."""
    own = pod.spec.terminationGracePeriodSeconds
    return group.seconds if own is None else min(own, group.seconds)
