"""Crash back-off: how long a container that ended waits before it starts again.

The first restart is immediate, then 10 s, doubling up to a cap. The wait is counted from the end of the newest run, and a run
that ended more than 600 s after the last permitted restart starts from the beginning. Source: docs/facts/pod-lifecycle.md 5.1.
"""

import hashlib
from datetime import datetime, timedelta

import msgspec

from nodeagent.pods.rules.model import CrashBackoff, StartFailure
from nodeagent.podspec.containers import AnyContainer
from nodeagent.podspec.pod import AgentPod
from runtimes.kube.duration import go_duration
from runtimes.linux.retry import RetryPolicy

RETRY = RetryPolicy(first_seconds=10.0, cap_seconds=300.0)
REDUCED = RetryPolicy(first_seconds=1.0, cap_seconds=60.0)  # by the gate ReduceDefaultCrashLoopBackOffDecay
RESET_AFTER_SECONDS = 600.0

__all__ = [
    "REDUCED",
    "RETRY",
    "advance",
    "backoff_key",
    "crash_loop",
    "crash_loop_event",
    "held_until",
]


def backoff_key(container: AnyContainer) -> str:
    """A short stable text that changes when the container's image or resources do."""
    content = msgspec.json.encode([container.name, container.image, container.resources], order="sorted")
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def held_until(backoff: CrashBackoff | None, container: AnyContainer, finished_at: datetime) -> datetime | None:
    """Until when the container that ended at `finished_at` may not start; None: no back-off counts."""
    if backoff is None or not _counts(backoff, container, finished_at):
        return None
    return finished_at + timedelta(seconds=backoff.delay_seconds)


def advance(
    backoff: CrashBackoff | None,
    container: AnyContainer,
    finished_at: datetime,
    now: datetime,
    *,
    policy: RetryPolicy = RETRY,
) -> CrashBackoff:
    """The back-off after a permitted start, at `now`, of a container whose newest run ended at `finished_at`."""
    attempt = backoff.attempt + 1 if backoff is not None and _counts(backoff, container, finished_at) else 0
    return CrashBackoff(
        attempt=attempt, delay_seconds=policy.next_delay(attempt), advanced_at=now, key=backoff_key(container)
    )


def crash_loop(pod: AgentPod, container: AnyContainer, backoff: CrashBackoff) -> StartFailure:
    """What the status of a container shows while it is held back."""
    delay = go_duration(backoff.delay_seconds)
    return StartFailure(
        reason="CrashLoopBackOff",
        message=f"back-off {delay} restarting failed container={container.name} pod={pod.describe()}",
    )


def crash_loop_event(pod: AgentPod, container: AnyContainer) -> tuple[str, str]:
    """(reason, message) of the Warning event of a container that is held back."""
    return ("BackOff", f"Back-off restarting failed container {container.name} in pod {pod.describe()}")


def _counts(backoff: CrashBackoff, container: AnyContainer, finished_at: datetime) -> bool:
    if backoff.key not in ("", backoff_key(container)):
        return False
    return (finished_at - backoff.advanced_at).total_seconds() <= RESET_AFTER_SECONDS
