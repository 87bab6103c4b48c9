"""How often the runtimes' verbs are called, how long they take, and how often they fail.

Source: docs/facts/node-resources.md 7.4.
"""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from nodeagent.metrics.registry import SECONDS

_SECONDS = tuple(0.005 * 2.5**power for power in range(14))
_NAMES = {"update_container_resources": "update_container"}  # where a kubelet's name is not the verb's own


class RuntimeOperationMetrics:
    """`ended` is a `runtimes.boundary.VerbObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter(
            "kubelet_runtime_operations",
            "Cumulative number of runtime operations by operation type.",
            ("operation_type",),
            registry=registry,
        )
        self._errors = Counter(
            "kubelet_runtime_operations_errors",
            "Cumulative number of runtime operation errors by operation type.",
            ("operation_type",),
            registry=registry,
        )
        self._seconds = Histogram(
            "kubelet_runtime_operations_duration_seconds",
            "Duration in seconds of runtime operations. Broken down by operation type.",
            ("operation_type",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._sandbox_seconds = Histogram(
            "kubelet_run_podsandbox_duration_seconds",
            "Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.",
            ("runtime_handler",),
            buckets=SECONDS,
            registry=registry,
        )
        self._sandbox_errors = Counter(
            "kubelet_run_podsandbox_errors",
            "Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler.",
            ("runtime_handler",),
            registry=registry,
        )

    def ended(self, verb: str, request: Any, seconds: float, failed: bool) -> None:
        name = _NAMES.get(verb, verb.replace("pod_sandbox", "podsandbox"))
        self._total.labels(name).inc()
        self._seconds.labels(name).observe(seconds)
        if failed:
            self._errors.labels(name).inc()
        if verb == "run_pod_sandbox":
            self._sandbox_seconds.labels(request.runtime_handler).observe(seconds)
            if failed:
                self._sandbox_errors.labels(request.runtime_handler).inc()
