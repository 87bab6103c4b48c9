"""How long the calls of CSI drivers take, and how they end. Source: docs/facts/storage.md 2."""

from prometheus_client import CollectorRegistry, Histogram

from csi.errors import code_as_go

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 50.0, 120.0, 300.0, 600.0)


class CSIMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "csi_operations_seconds",
            "Container Storage Interface operation duration with gRPC error code status total",
            ("driver_name", "method_name", "grpc_status_code", "migrated"),
            buckets=_SECONDS,
            registry=registry,
        )

    def ended(self, driver: str, method: str, code: str, seconds: float) -> None:
        """`method`: as `/csi.v1.Node/NodePublishVolume`. `code`: of gRPC, in capitals; shown as Go writes it."""
        self._seconds.labels(driver, method, code_as_go(code), "false").observe(seconds)
