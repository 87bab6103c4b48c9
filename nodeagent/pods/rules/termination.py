"""The arithmetic of ending a pod: grace periods, deadlines, and which container may be stopped when.

Source: docs/facts/pod-lifecycle.md 2.2 and 9.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from itertools import zip_longest

from lightkube.models.core_v1 import Probe

from nodeagent.pods.rules.model import Termination
from nodeagent.podspec.containers import ContainerKind, containers
from nodeagent.podspec.pod import AgentPod

MINIMUM_STOP_SECONDS = 2  # the least ever handed to StopContainer
MINIMUM_POD_GRACE_SECONDS = 1
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


def pod_grace_seconds(pod: AgentPod, current: Termination | None = None, *, override: int | None = None) -> int:
    """The pod's grace period: the least of what is known (of the termination under way, of the deletion, of a request).

    With none of them: the spec's. Never below 1; during a termination it can only get shorter.
    """
    known = [value for value in (pod.metadata.deletionGracePeriodSeconds, override) if value is not None]
    if current is not None:
        known.append(current.grace_seconds)
    grace = min(known) if known else pod.spec.terminationGracePeriodSeconds or 0
    return max(grace, MINIMUM_POD_GRACE_SECONDS)


def container_grace_seconds(pod: AgentPod, *, probe: Probe | None = None, override: int | None = None) -> int:
    """The grace period one container starts its stop with, before preStop and waiting are taken off.

    `probe`: the liveness or startup probe whose failure is the reason of the kill. `override` replaces everything.
    """
    if override is not None:
        return override
    if pod.metadata.deletionGracePeriodSeconds is not None:
        return pod.metadata.deletionGracePeriodSeconds
    if probe is not None and probe.terminationGracePeriodSeconds is not None:
        return probe.terminationGracePeriodSeconds
    if pod.spec.terminationGracePeriodSeconds is not None:
        return pod.spec.terminationGracePeriodSeconds
    return MINIMUM_STOP_SECONDS


def remaining_seconds(grace_seconds: int, spent_seconds: float) -> int:
    """What is left of a grace period after a preStop hook or a wait for the turn: whole seconds are taken off."""
    return grace_seconds - int(spent_seconds)


def stop_timeout_seconds(remaining: int) -> int:
    """The timeout for StopContainer: what is left, at least 2."""
    return max(remaining, MINIMUM_STOP_SECONDS)


def may_stop(pod: AgentPod, running: Collection[str]) -> frozenset[str]:
    """Names of the running containers whose turn to be stopped has come, when the whole pod ends.

    Everything but sidecars at once; a sidecar when all regular containers and the next later sidecar have exited.
    """
    sidecars = [container.name for kind, container in containers(pod) if kind is ContainerKind.SIDECAR]
    regular = [container.name for kind, container in containers(pod) if kind is ContainerKind.REGULAR]
    allowed = {name for name in running if name not in sidecars}
    if not any(name in running for name in regular):
        for name, later in zip_longest(sidecars, sidecars[1:]):
            if name in running and later not in running:
                allowed.add(name)
    return frozenset(allowed)


def deadline_at(pod: AgentPod, start_time: datetime | None) -> datetime | None:
    """When the pod's activeDeadlineSeconds end; None: it has none, or has not begun."""
    if pod.spec.activeDeadlineSeconds is None or start_time is None:
        return None
    return start_time + timedelta(seconds=pod.spec.activeDeadlineSeconds)


def deadline_exceeded(pod: AgentPod) -> Termination:
    """The termination of a pod that ran longer than its activeDeadlineSeconds."""
    return Termination(
        grace_seconds=pod_grace_seconds(pod), reason="DeadlineExceeded", message=DEADLINE_MESSAGE, failed=True
    )


def rejected(pod: AgentPod, reason: str, message: str) -> Termination:
    """The termination of a pod that turns out not to be able to run on this node."""
    return Termination(grace_seconds=pod_grace_seconds(pod), reason=reason, message=message, failed=True)
