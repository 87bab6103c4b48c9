"""Requests to the node's endpoint: how many, how long they take, how many are under way.

Source: docs/facts/node-resources.md 7.4.
"""

import contextlib
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from nodeagent.metrics.registry import SECONDS

_LABELS = ("method", "path", "server_type", "long_running")
_LONG = frozenset({"attach", "containerLogs", "exec", "portForward", "run"})


class RequestMetrics:
    """`under_way` is a `server.server.RequestObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter(
            "kubelet_http_requests",
            "Number of the http requests received since the server started",
            _LABELS,
            registry=registry,
        )
        self._seconds = Histogram(
            "kubelet_http_requests_duration_seconds",
            "Duration in seconds to serve http requests",
            _LABELS,
            buckets=SECONDS,
            registry=registry,
        )
        self._now = Gauge(
            "kubelet_http_inflight_requests", "Number of the inflight http requests", _LABELS, registry=registry
        )

    @contextlib.contextmanager
    def under_way(self, method: str, path: str, *, secure: bool) -> Iterator[None]:
        name = told_path(path)
        labels = (method, name, "readwrite" if secure else "readonly", str(name in _LONG).lower())
        began = time.monotonic()
        self._total.labels(*labels).inc()
        self._now.labels(*labels).inc()
        try:
            yield
        finally:
            self._now.labels(*labels).dec()
            self._seconds.labels(*labels).observe(time.monotonic() - began)


def told_path(template: str) -> str:
    """As much of a path's template as tells what is asked for: `exec`, `metrics/cadvisor`; nothing that names an object."""
    return "/".join(part for part in template.partition("{")[0].split("/") if part) or "/"
