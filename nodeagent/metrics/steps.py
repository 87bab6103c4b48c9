"""How long the steps of pods take and how they end; and in how many pods each is under way."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from nodeagent.pods.step_runs import StepRun

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class StepMetrics:
    """Hears of every step that has ended: a `step_runs.StepObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "nodeagent_pod_step_duration_seconds",
            "Duration in seconds of a step of a pod, by step, verb (check, run, undo) and outcome (done, failed, cancelled).",
            ("step", "verb", "outcome"),
            buckets=_SECONDS,
            registry=registry,
        )

    def ended(self, run: StepRun) -> None:
        """`run.ended` is set."""
        seconds = run.seconds(run.began if run.ended is None else run.ended)
        self._seconds.labels(run.step, run.verb.value, run.outcome.value).observe(seconds)


class StepsUnderWay(Collector):
    """`under_way()`: of all pods, as of now."""

    def __init__(self, under_way: Callable[[], Iterable[StepRun]]) -> None:
        self._under_way = under_way

    @override
    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "nodeagent_pods_in_step", "Number of pods in which a step is under way.", labels=("step", "verb")
        )
        for (step, verb), count in sorted(Counter((run.step, run.verb.value) for run in self._under_way()).items()):
            family.add_metric((step, verb), count)
        yield family
