"""Exec credential plugins: how their calls came out, and how long their certificates last and lasted.

Source: docs/facts/node-resources.md 7.4.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from typing_extensions import override

from nodeagent.api.observers import PluginObserver

_HOUR, _DAY = 3600, 86400
# too soon: up to an hour; as it should be: hours to a month; too late: months to years
_AGES = (600, 1800, _HOUR, 4 * _HOUR, _DAY, 7 * _DAY, 30 * _DAY, 90 * _DAY, 180 * _DAY, 360 * _DAY, 1440 * _DAY)


class ExecPluginMetrics(PluginObserver):
    def __init__(self, registry: CollectorRegistry, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._ends_at: datetime | None = None
        self._calls = Counter(
            "rest_client_exec_plugin_call",
            "Calls of an exec plugin, by what became of them; the exit code is 0 if and only if it was successful.",
            ("code", "call_status"),
            registry=registry,
        )
        self._ages = Histogram(
            "rest_client_exec_plugin_certificate_rotation_age",
            "How many seconds a client certificate of an exec plugin had lived when it was replaced.",
            buckets=_AGES,
            registry=registry,
        )
        Gauge(
            "rest_client_exec_plugin_ttl_seconds",
            "Seconds until the client certificate of an exec plugin ends; negative: since it has ended; +Inf: there is none.",
            registry=registry,
        ).set_function(self._left)

    @override
    def called(self, code: int, status: str) -> None:
        self._calls.labels(str(code), status).inc()

    @override
    def has_certificate(self, ends_at: datetime | None) -> None:
        self._ends_at = ends_at

    @override
    def replaced_certificate(self, age_seconds: float) -> None:
        self._ages.observe(age_seconds)

    def _left(self) -> float:
        return float("inf") if self._ends_at is None else (self._ends_at - self._now()).total_seconds()
