"""What the server counts of itself, under the names that dashboards of kube-apiservers ask for.

Labels have few values: a resource or a subresource that this server does not have is no label.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

_LABELS = ("verb", "group", "version", "resource", "subresource", "scope", "component")
_SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3)
_MORE_SECONDS = (4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
_BYTES = tuple(10**power for power in range(3, 10))
_MUTATING = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
_READS = frozenset({"GET", "LIST"})
_PEAK_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class Call:
    """One request as it is counted. Filled in while the request is understood; without a verb it is not counted.

    `verb` in the words of metrics: GET, LIST, WATCH, POST, PUT, PATCH, APPLY, DELETE, DELETECOLLECTION, CONNECT.
    `scope`: resource (one object), namespace, cluster, "" for a path that is no resource. `long`: may go on for ever.
    """

    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    scope: str = ""
    component: str = ""
    dry_run: str = ""
    long: bool = False
    began: float = 0.0

    @property
    def labels(self) -> Mapping[str, str]:
        return {name: getattr(self, name) for name in _LABELS}


class ApiMetrics:
    """`counts`: how many objects of each resource there are. `build`: labels of `kubernetes_build_info`."""

    def __init__(
        self,
        counts: Callable[[], Iterable[tuple[str, int]]],
        build: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client leaves this one function untyped
        self._clock = clock
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "apiserver_request",
            "Requests by verb, dry run, resource, scope and status code.",
            ("dry_run", *_LABELS, "code"),
            registry=self._registry,
        )
        self._durations = Histogram(
            "apiserver_request_duration_seconds",
            "How long requests took, the whole life of long-running ones included.",
            ("dry_run", *_LABELS),
            buckets=(*_SECONDS, *_MORE_SECONDS),
            registry=self._registry,
        )
        self._sizes = Histogram(
            "apiserver_response_sizes",
            "Size of the answers to reads, in bytes.",
            _LABELS,
            buckets=_BYTES,
            registry=self._registry,
        )
        self._long = Gauge(
            "apiserver_longrunning_requests",
            "Watches, streams and followed logs that are open.",
            _LABELS,
            registry=self._registry,
        )
        self._events = Counter(
            "apiserver_watch_events",
            "Events sent to watchers.",
            ("group", "version", "resource"),
            registry=self._registry,
        )
        self._inflight = _Inflight(clock)
        self._registry.register(self._inflight)
        self._registry.register(_Objects(counts))
        ProcessCollector(registry=self._registry)
        names = sorted(build)
        info = Gauge("kubernetes_build_info", "What runs here; always 1.", names, registry=self._registry)
        info.labels(*(build[name] for name in names)).set(1)

    def begin(self, call: Call) -> None:
        """Record what `call` is, as soon as that is known."""
        call.began = self._clock()
        if call.long:
            self._long.labels(**call.labels).inc()
        else:
            self._inflight.change(call.verb, 1)

    def end(self, call: Call, code: int, size: int | None) -> None:
        """`size`: of the body in bytes, None for a stream."""
        if not call.verb:
            return
        if call.long:
            self._long.labels(**call.labels).dec()
        else:
            self._inflight.change(call.verb, -1)
        self._requests.labels(dry_run=call.dry_run, code=str(code), **call.labels).inc()
        self._durations.labels(dry_run=call.dry_run, **call.labels).observe(self._clock() - call.began)
        if size is not None and call.verb in _READS:
            self._sizes.labels(**call.labels).observe(size)

    def watched(self, call: Call, events: int) -> None:
        self._events.labels(group=call.group, version=call.version, resource=call.resource).inc(events)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """(body, content type), in the format that the client would rather have."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Inflight(Collector):
    """How many requests run beside each other: the most of the last second or two, or a scrape would see only itself."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._now = {"mutating": 0, "readOnly": 0}
        self._peak = dict(self._now)
        self._previous = dict(self._now)
        self._since = clock()

    def change(self, verb: str, by: int) -> None:
        self._roll()
        kind = "mutating" if verb in _MUTATING else "readOnly"
        self._now[kind] += by
        self._peak[kind] = max(self._peak[kind], self._now[kind])

    def _roll(self) -> None:
        now = self._clock()
        passed = now - self._since
        if passed >= _PEAK_SECONDS:
            self._previous = self._peak if passed < 2 * _PEAK_SECONDS else dict(self._now)
            self._peak, self._since = dict(self._now), now

    @override
    def collect(self) -> Iterator[Metric]:
        self._roll()
        text = "The most requests that ran beside each other in the last second, by kind."
        family = GaugeMetricFamily("apiserver_current_inflight_requests", text, labels=("request_kind",))
        for kind in self._now:
            family.add_metric((kind,), max(self._peak[kind], self._previous[kind]))
        yield family


class _Objects(Collector):
    def __init__(self, counts: Callable[[], Iterable[tuple[str, int]]]) -> None:
        self._counts = counts

    @override
    def collect(self) -> Iterator[Metric]:
        by_id = GaugeMetricFamily("apiserver_storage_objects", "Stored objects by resource.", labels=("resource",))
        split = GaugeMetricFamily(
            "apiserver_resource_objects", "Stored objects by group and resource.", labels=("group", "resource")
        )
        for resource, count in self._counts():
            plural, _, group = resource.partition(".")
            by_id.add_metric((resource,), count)
            split.add_metric((group, plural), count)
        yield by_id
        yield split
