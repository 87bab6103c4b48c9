"""The registry of one agent, and the text of it."""

from collections.abc import Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

# Bounds of durations that nothing else is said of: those of Prometheus's own clients.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def empty_registry() -> CollectorRegistry:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client leaves this one function untyped
    return CollectorRegistry(auto_describe=True)


def agent_registry() -> CollectorRegistry:
    """One that tells of this process already."""
    registry = empty_registry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


# Counters that a kubelet names without the ending that prometheus_client writes after all of them.
_BARE = tuple(
    (f"{name}_total".encode(), name.encode())
    for name in (
        "kubelet_certificate_manager_client_expiration_renew_errors",
        "kubelet_evictions",
        "kubelet_preemptions",
        "kubelet_server_expiration_renew_errors",
    )
)


def registered(registry: CollectorRegistry) -> bytes:
    """The text that a scraper reads, of all that is counted in a registry."""
    text = generate_latest(registry)
    for written, name in _BARE:
        text = text.replace(written, name)
    return text


def expose(metrics: Iterable[Metric]) -> bytes:
    """The text that a scraper reads, of metrics that are made for it."""
    registry = CollectorRegistry()
    registry.register(_Given(metrics))
    return generate_latest(registry)


class _Given(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = tuple(metrics)

    @override
    def collect(self) -> Iterator[Metric]:
        yield from self._metrics
