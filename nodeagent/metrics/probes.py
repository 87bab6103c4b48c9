"""/metrics/probes: how often the probes of containers ran, with which result, and how long a run took.

Source: docs/facts/node-resources.md 7.3.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from nodeagent.metrics.registry import SECONDS
from nodeagent.probes.observer import ObservedProbe

_TOTAL_LABELS = ("probe_type", "result", "container", "pod", "namespace", "pod_uid")
_DURATION_LABELS = ("probe_type", "container", "pod", "namespace")


@dataclass(slots=True)
class _Runs:
    successful: int = 0
    failed: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))


class ProbeMetrics:
    """A `probes.observer.ProbeObserver`. `started_at`: the agent's own start, in seconds since the epoch."""

    def __init__(self, started_at: float) -> None:
        self._started_at = started_at
        self._probes: dict[ObservedProbe, _Runs] = {}

    def ran(self, probe: ObservedProbe, *, ok: bool, seconds: float) -> None:
        """A run that came to a verdict."""
        runs = self._probes.setdefault(probe, _Runs())
        if not ok:
            runs.failed += 1
            return
        runs.successful += 1
        runs.seconds += seconds
        runs.buckets[bisect_left(SECONDS, seconds)] += 1

    def forget(self, probes: Iterable[ObservedProbe]) -> None:
        """These are not made any more."""
        for probe in probes:
            self._probes.pop(probe, None)

    def collect(self) -> list[Metric]:
        total = CounterMetricFamily(
            "prober_probe",
            "Cumulative number of a liveness, readiness or startup probe for a container by result.",
            labels=_TOTAL_LABELS,
        )
        duration = HistogramMetricFamily(
            "prober_probe_duration_seconds", "Duration in seconds for a probe response.", labels=_DURATION_LABELS
        )
        for probe, runs in self._probes.items():
            who = (probe.container, probe.pod, probe.namespace)
            for result, count in (("successful", runs.successful), ("failed", runs.failed)):
                if count:
                    total.add_metric((probe.type, result, *who, probe.pod_uid), count)
            if runs.successful:
                duration.add_metric((probe.type, *who), _cumulative(runs.buckets), sum_value=runs.seconds)
        started = GaugeMetricFamily(
            "process_start_time_seconds", "Start time of the process since unix epoch in seconds."
        )
        started.add_metric((), self._started_at)
        return [total, duration, started]


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    so_far = 0
    for bound, count in zip((*map(str, SECONDS), "+Inf"), buckets, strict=True):
        so_far += count
        found.append((bound, so_far))
    return found
