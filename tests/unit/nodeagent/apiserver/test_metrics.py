"""What the server tells about itself at /metrics."""

from typing import Any

from nodeagent.apiserver.metrics import ApiMetrics, Call

BUILD = {"major": "1", "minor": "32"}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def samples(metrics: ApiMetrics, prefix: str) -> list[str]:
    text = metrics.exposition("")[0].decode()
    return [line for line in text.splitlines() if line.startswith(prefix)]


def call(**fields: Any) -> Call:
    defaults = {"verb": "GET", "version": "v1", "resource": "pods", "scope": "resource", "component": "apiserver"}
    return Call(**{**defaults, **fields})


LABELS = 'component="apiserver",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"'


def test_requests() -> None:
    """A request is counted with its code, its duration and, for a read, its size; what is no request leaves nothing."""
    clock = Clock()
    metrics = ApiMetrics(list, BUILD, clock)
    metrics.end(Call(), 404, 3)
    asked = call()
    metrics.begin(asked)
    clock.now += 0.3
    metrics.end(asked, 200, 5000)
    labels = LABELS.replace(',group="', ',dry_run="",group="')
    assert samples(metrics, "apiserver_request_total") == [f'apiserver_request_total{{code="200",{labels}}} 1.0']
    buckets = samples(metrics, "apiserver_request_duration_seconds_bucket")
    assert [line.rsplit(" ")[-1] for line in buckets][:8] == ["0.0"] * 5 + ["1.0"] * 3
    assert samples(metrics, "apiserver_response_sizes_sum") == [f"apiserver_response_sizes_sum{{{LABELS}}} 5000.0"]


def test_longrunning_requests_and_watch_events() -> None:
    """A watch is open until it ends, and is then a request like others; its events are counted meanwhile."""
    metrics = ApiMetrics(list, BUILD)
    watch = call(verb="WATCH", scope="namespace", long=True)
    metrics.begin(watch)
    metrics.watched(watch, 3)
    assert [line.rsplit(" ")[-1] for line in samples(metrics, "apiserver_longrunning_requests")] == ["1.0"]
    metrics.end(watch, 200, None)
    assert [line.rsplit(" ")[-1] for line in samples(metrics, "apiserver_longrunning_requests")] == ["0.0"]
    assert samples(metrics, "apiserver_watch_events_total") == [
        'apiserver_watch_events_total{group="",resource="pods",version="v1"} 3.0'
    ]
    assert len(samples(metrics, "apiserver_request_total")) == 1


def test_inflight_requests() -> None:
    """The most that ran beside each other a moment ago, by kind; long-running ones are not among them."""
    clock = Clock()
    metrics = ApiMetrics(list, BUILD, clock)
    calls = [call(verb="POST"), call(verb="PATCH"), call(verb="LIST"), call(verb="WATCH", long=True)]
    for one in calls:
        metrics.begin(one)
    for one in calls:
        metrics.end(one, 200, None)

    def inflight() -> list[str]:
        return samples(metrics, "apiserver_current_inflight_requests")

    name = "apiserver_current_inflight_requests"
    assert inflight() == [f'{name}{{request_kind="mutating"}} 2.0', f'{name}{{request_kind="readOnly"}} 1.0']
    clock.now += 1.5
    assert inflight() == [f'{name}{{request_kind="mutating"}} 2.0', f'{name}{{request_kind="readOnly"}} 1.0']
    clock.now += 5
    assert inflight() == [f'{name}{{request_kind="mutating"}} 0.0', f'{name}{{request_kind="readOnly"}} 0.0']


def test_objects_process_and_build() -> None:
    """How many objects there are, under the old name and the new; the process; what runs."""
    metrics = ApiMetrics(lambda: [("pods", 3), ("leases.coordination.k8s.io", 1)], BUILD)
    assert samples(metrics, "apiserver_storage_objects") == [
        'apiserver_storage_objects{resource="pods"} 3.0',
        'apiserver_storage_objects{resource="leases.coordination.k8s.io"} 1.0',
    ]
    assert samples(metrics, "apiserver_resource_objects")[1] == (
        'apiserver_resource_objects{group="coordination.k8s.io",resource="leases"} 1.0'
    )
    assert samples(metrics, "kubernetes_build_info") == ['kubernetes_build_info{major="1",minor="32"} 1.0']
    assert samples(metrics, "process_resident_memory_bytes")
    assert not [line for line in samples(metrics, "") if "_created" in line.partition("{")[0]]


def test_formats() -> None:
    """Plain text by default, OpenMetrics for who asks."""
    metrics = ApiMetrics(list, BUILD)
    assert metrics.exposition("application/json, */*")[1].startswith("text/plain; version=0.0.4")
    body, content_type = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
