"""How many pods were evicted, and for what."""

from prometheus_client import CollectorRegistry, Counter


class EvictionMetrics:
    """`signal`s are those of thresholds (`memory.available`) and of pods' own limits (`emptydirfs.limit`)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._evictions = Counter(
            "kubelet_evictions",
            "Cumulative number of pod evictions by eviction signal",
            ("eviction_signal",),
            registry=registry,
        )

    def evicted(self, signal: str) -> None:
        self._evictions.labels(signal).inc()
