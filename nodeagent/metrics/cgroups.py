"""How long it takes to make, change and remove the pods' cgroups. Source: docs/facts/node-resources.md 7.4."""

from prometheus_client import CollectorRegistry, Histogram

from nodeagent.metrics.registry import SECONDS


class CgroupMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "kubelet_cgroup_manager_duration_seconds",
            "Duration in seconds for cgroup manager operations. Broken down by method.",
            ("operation_type",),
            buckets=SECONDS,
            registry=registry,
        )

    def ended(self, operation: str, seconds: float) -> None:
        """`operation`: create, update, destroy."""
        self._seconds.labels(operation).observe(seconds)
