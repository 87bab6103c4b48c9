"""How long the pods' supervisors take: to look and decide (sync), to make and change pods, to end them.

A kubelet's worker does all of it in one turn; here work goes on beside the looks. Source: docs/facts/node-resources.md 7.4.
"""

from prometheus_client import CollectorRegistry, Histogram

from nodeagent.metrics.registry import SECONDS
from nodeagent.pods.services import Operation


class WorkerMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "kubelet_pod_worker_duration_seconds",
            "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
            ("operation_type",),
            buckets=SECONDS,
            registry=registry,
        )
        self._of = {operation: self._seconds.labels(operation.value) for operation in Operation}

    def ended(self, operation: Operation, seconds: float) -> None:
        self._of[operation].observe(seconds)
