"""How many pods were evicted, for what, and on figures how old. Source: docs/facts/node-resources.md 7.4."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from nodeagent.metrics.registry import SECONDS


class EvictionMetrics:
    """`signal`s are those of thresholds (`memory.available`) and of pods' own limits (`emptydirfs.limit`)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._evictions = Counter(
            "kubelet_evictions",
            "Cumulative number of pod evictions by eviction signal",
            ("eviction_signal",),
            registry=registry,
        )

        self._stats_age = Histogram(
            "kubelet_eviction_stats_age_seconds",
            "Time between when stats are collected, and when pod is evicted based on those stats by eviction signal",
            ("eviction_signal",),
            buckets=SECONDS,
            registry=registry,
        )

    def evicted(self, signal: str, stats_age_seconds: float | None = None) -> None:
        """`stats_age_seconds`: of the figures that chose this pod among others; None: it was over a limit of its own."""
        self._evictions.labels(signal).inc()
        if stats_age_seconds is not None:
            self._stats_age.labels(signal).observe(stats_age_seconds)
