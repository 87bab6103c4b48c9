"""How long a start took, from the statuses on their way."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from agent_pods import agent_pod
from lightkube.models.core_v1 import PodStatus
from prometheus_client import CollectorRegistry

from nodeagent.metrics.pod_starts import PodStartMetrics

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
POD = agent_pod(
    {
        "metadata": {"name": "p", "namespace": "default", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": []},
    }
)
RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:01Z"}}


class Watch:
    """Metrics with clocks that are set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.registry = CollectorRegistry()
        self.metrics = PodStartMetrics(
            self.registry, lambda: CREATED + timedelta(seconds=self.seconds), lambda: self.seconds
        )

    def at(self, seconds: float, phase: str, *states: dict[str, Any]) -> None:
        self.seconds = seconds
        self.metrics.published(POD, status(phase, *states))
        self.metrics.sent(POD, status(phase, *states), 0.25)

    def told(self, name: str) -> tuple[float | None, float | None]:
        """(how many, seconds of all of them)"""
        full = f"kubelet_pod_{name}_duration_seconds"
        return self.registry.get_sample_value(f"{full}_count"), self.registry.get_sample_value(f"{full}_sum")


def status(phase: str, *states: dict[str, Any]) -> PodStatus:
    containers = [
        {"name": f"c{number}", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        for number, state in enumerate(states)
    ]
    return msgspec.convert({"phase": phase, "containerStatuses": containers}, PodStatus)


def test_a_start() -> None:
    """It runs when it leaves Pending; its start is over when the API knows that all of its containers have run. Each once."""
    watch = Watch()
    watch.at(1.0, "Pending")
    watch.at(3.0, "Running", RUNNING, {"waiting": {}})
    assert (watch.told("start"), watch.told("start_total")) == ((1, 2.0), (0, 0))
    watch.at(4.0, "Running", RUNNING, RUNNING)
    watch.at(9.0, "Running", RUNNING, RUNNING)
    assert (watch.told("start"), watch.told("start_total")) == ((1, 2.0), (1, 4.0))
    assert watch.told("status_sync") == (4, 1.0)


def test_what_is_no_start() -> None:
    """A pod that ran before this agent, and one that is rejected; and what was known of a pod goes with it."""
    watch = Watch()
    watch.at(1.0, "Running", RUNNING)
    watch.metrics.forgotten(POD.uid)
    watch.at(2.0, "Pending")
    watch.at(3.0, "Failed")
    assert (watch.told("start"), watch.told("start_total")) == ((0, 0), (0, 0))
    watch.metrics.forgotten(POD.uid)
    watch.at(5.0, "Pending")
    watch.at(6.0, "Succeeded", {"terminated": {"exitCode": 0}})
    assert (watch.told("start"), watch.told("start_total")) == ((1, 1.0), (1, 6.0))
