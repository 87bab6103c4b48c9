"""Calls of the API: how they are answered, how soon, how large. Source: docs/facts/node-resources.md 7.4."""

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from typing_extensions import override

from nodeagent.api.observers import CallObserver

_DNS_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_SECONDS = (*_DNS_SECONDS, 60.0)
_BYTES = (64, 256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)


class _Verb(NamedTuple):
    """The series of one verb, found once: looking labels up costs more than counting."""

    waited: Histogram
    seconds: Histogram
    sent: Histogram
    received: Histogram


class ApiRequestMetrics(CallObserver):
    """Of the one server with that `host`, as its URL has it."""

    def __init__(self, registry: CollectorRegistry, host: str) -> None:
        self._host = host
        self._total = Counter(
            "rest_client_requests",
            "Number of HTTP requests, partitioned by status code, method, and host.",
            ("code", "method", "host"),
            registry=registry,
        )
        self._retries = Counter(
            "rest_client_request_retries",
            "Attempts of calls after their first, by their answer.",
            ("code", "verb", "host"),
            registry=registry,
        )
        self._lookups = Histogram(
            "rest_client_dns_resolution_duration_seconds",
            "How long name servers took.",
            ("host",),
            buckets=_DNS_SECONDS,
            registry=registry,
        )
        self._of_verbs = tuple(
            Histogram(f"rest_client_{name}", text, ("verb", "host"), buckets=buckets, registry=registry)
            for name, text, buckets in (
                ("rate_limiter_duration_seconds", "How long calls waited for the client's own rate limit.", _SECONDS),
                ("request_duration_seconds", "Request latency in seconds. Broken down by verb, and host.", _SECONDS),
                ("request_size_bytes", "Request size in bytes. Broken down by verb and host.", _BYTES),
                ("response_size_bytes", "Response size in bytes. Broken down by verb and host.", _BYTES),
            )
        )
        self._verbs: dict[str, _Verb] = {}
        self._answers: dict[tuple[str, str], Counter] = {}

    @override
    def waited(self, verb: str, seconds: float) -> None:
        self._of(verb).waited.observe(seconds)

    @override
    def answered(self, verb: str, code: str) -> None:
        found = self._answers.get((verb, code))
        if found is None:
            found = self._answers[verb, code] = self._total.labels(code, verb, self._host)
        found.inc()

    @override
    def retried(self, verb: str, code: str) -> None:
        self._retries.labels(code, verb, self._host).inc()

    @override
    def received(self, verb: str, size_bytes: int) -> None:
        self._of(verb).received.observe(size_bytes)

    @override
    def ended(self, verb: str, seconds: float, sent_bytes: int) -> None:
        found = self._of(verb)
        found.seconds.observe(seconds)
        found.sent.observe(sent_bytes)

    @override
    def resolved(self, host: str, seconds: float) -> None:
        self._lookups.labels(host).observe(seconds)

    def _of(self, verb: str) -> _Verb:
        found = self._verbs.get(verb)
        if found is None:
            found = self._verbs[verb] = _Verb(*(each.labels(verb, self._host) for each in self._of_verbs))
        return found
