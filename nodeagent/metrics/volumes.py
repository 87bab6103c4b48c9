"""Volumes that are up, and how long it takes to mount and unmount them. Source: docs/facts/node-resources.md 7.4."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from nodeagent.volumes.operations import Operation

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 50.0, 120.0, 300.0, 600.0)


class VolumeMetrics:
    """`ended` is a `volumes.operations.OperationObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "storage_operation_duration_seconds",
            "Storage operation duration",
            ("volume_plugin", "operation_name", "status", "migrated"),
            buckets=_SECONDS,
            registry=registry,
        )

    def ended(self, plugin: str, operation: Operation, seconds: float, failed: bool) -> None:
        status = "fail-unknown" if failed else "success"
        self._seconds.labels(plugin, operation.value, status, "false").observe(seconds)


class VolumesMounted(Collector):
    """`mounted()`: by the plug-in that has them up, as of now."""

    def __init__(self, mounted: Callable[[], Mapping[str, int]]) -> None:
        self._mounted = mounted

    @override
    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "volume_manager_total_volumes", "Number of volumes in Volume Manager", labels=("plugin_name", "state")
        )
        for plugin, count in sorted(self._mounted().items()):
            family.add_metric((plugin, "actual_state_of_world"), count)
        yield family
