"""/metrics/probes."""

from prometheus_client.parser import text_string_to_metric_families

from nodeagent.metrics.probes import ProbeMetrics
from nodeagent.metrics.registry import expose
from nodeagent.probes.observer import ObservedProbe

ALIVE = ObservedProbe(type="Liveness", container="c", pod="p", namespace="ns", pod_uid="u")
READY = ObservedProbe(type="Readiness", container="c", pod="p", namespace="ns", pod_uid="u")


def test_probe_metrics() -> None:
    """Runs by result, their time where they succeeded; what is not probed any more is not shown any more."""
    metrics = ProbeMetrics(12.5)
    metrics.ran(ALIVE, ok=True, seconds=0.02)
    metrics.ran(ALIVE, ok=True, seconds=30.0)
    metrics.ran(ALIVE, ok=False, seconds=1.0)
    metrics.ran(READY, ok=True, seconds=0.001)
    metrics.forget([READY])
    who = {"container": "c", "namespace": "ns", "pod": "p", "probe_type": "Liveness"}
    found = {
        (sample.name, *sample.labels.items()): sample.value
        for family in text_string_to_metric_families(expose(metrics.collect()).decode())
        for sample in family.samples
    }
    expected = {("process_start_time_seconds",): 12.5}
    for result, count in (("successful", 2), ("failed", 1)):
        expected[("prober_probe_total", *{**who, "pod_uid": "u", "result": result}.items())] = count
    for name, value in (("_count", 2), ("_sum", 30.02)):
        expected[(f"prober_probe_duration_seconds{name}", *who.items())] = value
    bounds = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf")
    for bound, value in zip(bounds, (0, 0, *[1] * 9, 2), strict=True):
        expected[("prober_probe_duration_seconds_bucket", *{**who, "le": bound}.items())] = value
    assert {(key[0], *sorted(key[1:])): value for key, value in found.items()} == {
        (key[0], *sorted(key[1:])): value for key, value in expected.items()
    }
