"""How long pods take to start, and their statuses to reach the API. A `pods.status.writer.StatusObserver`.

Of a pod that an agent before this one has started nothing is told. Source: docs/facts/node-resources.md 7.4 with note 1.
"""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from lightkube.models.core_v1 import ContainerStatus, PodStatus
from prometheus_client import CollectorRegistry, Histogram

from nodeagent.podspec.pod import AgentPod, PodUID

_START_SECONDS = (
    *(0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600),
)
_SYNC_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 45, 60)


class PodStartMetrics:
    """`now`: the time of day, with its zone. What it remembers of a pod goes when its start is over, or with the pod."""

    def __init__(
        self,
        registry: CollectorRegistry,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._clock = clock
        self._seen: dict[PodUID, float | None] = {}  # when first; None: it is not Pending any more
        self._starting: set[PodUID] = set()  # whose containers were not all seen to run yet
        self._first = Histogram(
            "kubelet_pod_start_duration_seconds",
            "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
            buckets=_START_SECONDS,
            registry=registry,
        )
        self._total = Histogram(
            "kubelet_pod_start_total_duration_seconds",
            "Duration in seconds to start a pod since creation, images and init containers included, until the API has it.",
            buckets=_START_SECONDS,
            registry=registry,
        )
        self._status = Histogram(
            "kubelet_pod_status_sync_duration_seconds",
            "Duration in seconds from a change of a pod's status until the API has it.",
            buckets=_SYNC_SECONDS,
            registry=registry,
        )

    def published(self, pod: AgentPod, status: PodStatus) -> None:
        uid = pod.uid
        pending = status.phase == "Pending"
        if uid not in self._seen:
            self._seen[uid] = self._clock() if pending else None
            if pending:
                self._starting.add(uid)
        elif not pending and (since := self._seen[uid]) is not None:
            self._seen[uid] = None
            if status.phase != "Failed":
                self._first.observe(self._clock() - since)

    def sent(self, pod: AgentPod, status: PodStatus, seconds: float) -> None:
        self._status.observe(seconds)
        created = pod.metadata.creationTimestamp
        if pod.uid in self._starting and created is not None and _all_have_run(status.containerStatuses or ()):
            self._starting.discard(pod.uid)
            self._total.observe(max(0.0, (self._now() - created).total_seconds()))

    def forgotten(self, uid: PodUID) -> None:
        self._seen.pop(uid, None)
        self._starting.discard(uid)


def _all_have_run(containers: Iterable[ContainerStatus]) -> bool:
    states = [each.state for each in containers]
    return bool(states) and all(state is not None and (state.running or state.terminated) for state in states)
