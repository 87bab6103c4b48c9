"""How the node's health checks came out, for service level indicators. Source: docs/facts/api-client-and-server.md J.3."""

from prometheus_client import Counter, Gauge

from nodeagent.metrics.registry import empty_registry, registered

_TYPE = "healthz"


class HealthMetrics:
    """`checked` is a `server.health.CheckObserver`. In a registry of their own: /metrics/slis has these and no others."""

    def __init__(self) -> None:
        self._registry = empty_registry()
        self._last = Gauge(
            "kubernetes_healthcheck",
            "This metric records the result of a single healthcheck.",
            ("name", "type"),
            registry=self._registry,
        )
        self._total = Counter(
            "kubernetes_healthchecks",
            "This metric records the results of all healthcheck.",
            ("name", "status", "type"),
            registry=self._registry,
        )

    def checked(self, name: str, passed: bool) -> None:
        self._last.labels(name, _TYPE).set(int(passed))
        self._total.labels(name, "success" if passed else "error", _TYPE).inc()

    def text(self) -> bytes:
        """What /metrics/slis shows."""
        return registered(self._registry)
