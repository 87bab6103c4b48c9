"""When the node last shut down gracefully. Source: docs/facts/node-resources.md 7.4, 10."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge

from nodeagent.shutdown.record import NEVER, ShutdownRecord


def register(registry: CollectorRegistry, record: ShutdownRecord) -> None:
    """Seconds since 1970, 0: never. They are read when they are asked for."""
    start = Gauge(
        "kubelet_graceful_shutdown_start_time_seconds",
        "When the last graceful shutdown of the node began, in seconds since the epoch",
        registry=registry,
    )
    start.set_function(lambda: _epoch(record.last.start_time))
    end = Gauge(
        "kubelet_graceful_shutdown_end_time_seconds",
        "When the last graceful shutdown of the node was over, in seconds since the epoch",
        registry=registry,
    )
    end.set_function(lambda: _epoch(record.last.end_time))


def _epoch(at: datetime) -> float:
    return 0.0 if at == NEVER else float(int(at.timestamp()))
