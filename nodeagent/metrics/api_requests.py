"""Requests to the API: how they are answered, and how soon. Source: docs/facts/node-resources.md 7.4."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


class ApiRequestMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter(
            "rest_client_requests",
            "Number of HTTP requests, partitioned by status code, method, and host.",
            ("code", "method", "host"),
            registry=registry,
        )
        self._seconds = Histogram(
            "rest_client_request_duration_seconds",
            "Request latency in seconds. Broken down by verb, and host.",
            ("verb", "host"),
            buckets=_SECONDS,
            registry=registry,
        )

    def answered(self, method: str, host: str, code: str, seconds: float) -> None:
        """`seconds`: until the answer's headers were there. `code` `<error>`: there was none."""
        self._total.labels(code, method, host).inc()
        self._seconds.labels(method, host).observe(seconds)
