"""How long the preparation of pods' resource claims takes, and the calls of DRA drivers.

Source: docs/facts/node-resources.md 7.4.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from csi.errors import code_as_go

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 45.0)
_ANY = "<any>"


class DRAMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._operations = Histogram(
            "dra_operations_duration_seconds",
            "Latency histogram in seconds for the duration of handling all ResourceClaims referenced by a pod",
            ("operation_name", "is_error"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._calls = Histogram(
            "dra_grpc_operations_duration_seconds",
            "Duration in seconds of the DRA gRPC operations",
            ("driver_name", "method_name", "grpc_status_code"),
            buckets=_SECONDS,
            registry=registry,
        )

    def operated(self, operation: str, *, failed: bool, seconds: float) -> None:
        self._operations.labels(operation, str(failed).lower()).observe(seconds)

    def called(self, driver: str, method: str, code: str, seconds: float) -> None:
        """`method`: as `NodePrepareResources`. `code`: of gRPC, in capitals."""
        self._calls.labels(driver, method, code_as_go(code)).observe(seconds)


class ClaimsInUse(Collector):
    """`count`: (all claims of the node, those of each driver)."""

    def __init__(self, count: Callable[[], tuple[int, Mapping[str, int]]]) -> None:
        self._count = count

    @override
    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "dra_resource_claims_in_use",
            "Number of ResourceClaims that are in use on the node, by driver name",
            labels=["driver_name"],
        )
        total, by_driver = self._count()
        for name, count in {_ANY: total, **by_driver}.items():
            family.add_metric([name], count)
        yield family
