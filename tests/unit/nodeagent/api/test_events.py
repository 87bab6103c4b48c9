"""Events: what is sent for what was recorded."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import Node, ObjectReference, Pod
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.client import ApiClient
from nodeagent.api.events import NORMAL, WARNING, EventRecorder, LoggingEvents, as_reference, node_reference, reference

REF = ObjectReference(apiVersion="v1", kind="Pod", name="p", namespace="ns", uid="u", resourceVersion="4")
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Clock:
    """Both clocks of the recorder, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def recorder(client: ApiClient, clock: Clock, naps: Any) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(
        client, "n1", now=clock.now, clock=clock.monotonic, sleep=naps, chance=lambda: 0.5, hold_seconds=0.0
    )
    task = asyncio.create_task(recorder.run())
    yield recorder
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_new_event_is_posted_whole(script: Any, recorder: EventRecorder) -> None:
    """The first event of its kind is created with every field of the core/v1 recorder."""
    script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
    recorder.event(REF, NORMAL, "Started", "Container started", field_path="spec.containers{c}")
    await recorder.flush()
    (request,) = script.seen
    nanoseconds = int(START.timestamp()) * 10**9 + 678901000
    assert (request.method, request.path) == ("POST", "/api/v1/namespaces/ns/events")
    assert request.body == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"p.{nanoseconds:x}", "namespace": "ns"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "p",
            "namespace": "ns",
            "uid": "u",
            "resourceVersion": "4",
            "fieldPath": "spec.containers{c}",
        },
        "reason": "Started",
        "message": "Container started",
        "type": "Normal",
        "source": {"component": "kubelet", "host": "n1"},
        "reportingComponent": "kubelet",
        "reportingInstance": "n1",
        "count": 1,
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
    }


async def test_an_event_waits_a_moment(client: ApiClient, script: Any, clock: Clock, naps: Any) -> None:
    """What is told beside a pod's start does not compete with it; what has waited already does not wait again."""
    recorder = EventRecorder(client, "n1", now=clock.now, clock=clock.monotonic, sleep=naps, hold_seconds=0.25)
    for _ in range(2):
        script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
    recorder.event(REF, NORMAL, "Created", "Container created")
    task = asyncio.create_task(recorder.run())
    await recorder.flush()
    assert naps.seconds == [0.25]
    recorder.event(REF, NORMAL, "Started", "Container started")
    clock.seconds += 1
    await recorder.flush()
    assert naps.seconds == [0.25]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_long_message_is_cut(script: Any, recorder: EventRecorder) -> None:
    """What it quotes may be untrusted, and a thousand events may wait."""
    script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
    recorder.event(REF, WARNING, "FailedMount", "x" * 100_000)
    await recorder.flush()
    (request,) = script.seen
    assert request.body["message"] == "x" * 4096 + "…"


async def test_a_repeated_event_is_counted_up(script: Any, recorder: EventRecorder, clock: Clock) -> None:
    """The same event again patches count and lastTimestamp of the one that is there."""
    for _ in range(3):
        script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
        recorder.event(REF, WARNING, "BackOff", "again")
        clock.seconds += 10
    await recorder.flush()
    name = script.seen[0].body["metadata"]["name"]
    patches = [(request.method, request.path, request.body) for request in script.seen[1:]]
    path = f"/api/v1/namespaces/ns/events/{name}"
    assert patches == [
        ("PATCH", path, {"count": 2, "lastTimestamp": "2026-01-02T03:04:15Z", "message": "again"}),
        ("PATCH", path, {"count": 3, "lastTimestamp": "2026-01-02T03:04:25Z", "message": "again"}),
    ]
    assert script.seen[1].headers["Content-Type"] == "application/strategic-merge-patch+json"


async def test_another_container_is_another_event(script: Any, recorder: EventRecorder) -> None:
    """The field path is part of what makes events the same."""
    for name in "ab":
        script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
        recorder.event(REF, WARNING, "BackOff", "again", field_path=f"spec.containers{{{name}}}")
    await recorder.flush()
    assert [request.method for request in script.seen] == ["POST", "POST"]


async def test_an_event_that_aged_out_is_posted_again(make: Any, script: Any, recorder: EventRecorder) -> None:
    """404 on the patch makes it a new event that keeps its count."""
    script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
    script.answer(make.failure(404, "NotFound", name="a"), 404)
    script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
    for _ in range(2):
        recorder.event(REF, WARNING, "BackOff", "again")
    await recorder.flush()
    assert [request.method for request in script.seen] == ["POST", "PATCH", "POST"]
    assert script.seen[2].body["count"] == 2


async def test_ten_similar_events_become_one(script: Any, recorder: EventRecorder) -> None:
    """From the tenth different message within ten minutes on there is one combined event, which is counted up."""
    for number in range(12):
        script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
        recorder.event(REF, WARNING, "Failed", f"Error: {number}")
    await recorder.flush()
    assert [request.method for request in script.seen] == ["POST"] * 10 + ["PATCH"] * 2
    assert script.seen[8].body["message"] == "Error: 8"
    assert [request.body["message"] for request in script.seen[9:]] == [
        f"(combined from similar events): Error: {number}" for number in (9, 10, 11)
    ]
    assert [request.body["count"] for request in script.seen[9:]] == [1, 2, 3]


async def test_similar_events_far_apart_stay_apart(script: Any, recorder: EventRecorder, clock: Clock) -> None:
    """Ten minutes of silence end the aggregation."""
    for number in range(12):
        script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
        recorder.event(REF, WARNING, "Failed", f"Error: {number}")
        clock.seconds += 601
    await recorder.flush()
    assert [request.method for request in script.seen] == ["POST"] * 12


async def test_spam_is_dropped_until_tokens_return(script: Any, recorder: EventRecorder, clock: Clock) -> None:
    """25 events about one object at once, then one per five minutes; other objects are not affected."""
    for _ in range(40):
        script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
    for _ in range(30):
        recorder.event(REF, WARNING, "BackOff", "again")
    await recorder.flush()
    assert len(script.seen) == 25
    recorder.event(REF, NORMAL, "Pulled", "other type")
    clock.seconds += 300
    await recorder.flush()
    recorder.event(REF, WARNING, "BackOff", "again")
    await recorder.flush()
    assert [request.method for request in script.seen[25:]] == ["POST", "PATCH"]
    assert script.seen[26].body["count"] == 31


async def test_outage_is_retried_and_then_given_up(make: Any, script: Any, recorder: EventRecorder, naps: Any) -> None:
    """No answer: 12 tries, 10 s apart, the first wait random; then the next event has its turn."""
    script.answers += [make.dropping() for _ in range(12)]
    script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
    recorder.event(REF, NORMAL, "Lost", "x")
    recorder.event(REF, NORMAL, "Kept", "y")
    await recorder.flush()
    assert [request.body["reason"] for request in script.seen] == ["Lost"] * 12 + ["Kept"]
    assert naps.seconds == [5.0] + [10.0] * 10


@pytest.mark.parametrize(("code", "reason"), [(403, "Forbidden"), (404, "NotFound"), (409, "AlreadyExists"), (422, "")])
async def test_a_refusal_is_final(
    make: Any, script: Any, recorder: EventRecorder, naps: Any, code: int, reason: str
) -> None:
    """An answer of the API is never argued with. (A 404 is about the namespace.)"""
    script.answer(make.failure(code, reason, name="ns"), code)
    recorder.event(REF, NORMAL, "Started", "x")
    await recorder.flush()
    assert (len(script.seen), naps.seconds) == (1, [])


async def test_an_api_without_core_events(make: Any, script: Any, recorder: EventRecorder, clock: Clock) -> None:
    """It gets them as events.k8s.io/v1, with what is mandatory there; repeats are a series. It is asked for core/v1 once."""
    script.answers.append(make.answering(b"404 page not found", 404))
    for _ in range(3):
        script.answer({"kind": "Event", "metadata": {"name": "a"}, "eventTime": "2026-01-02T03:04:05.000001Z"})
    recorder.event(REF, WARNING, "BackOff", "x" * 2000)
    clock.seconds = 10
    recorder.event(REF, WARNING, "BackOff", "x" * 2000)
    recorder.event(node_reference("n1"), NORMAL, "Starting", "Starting kubelet.")
    await recorder.flush()
    name = script.seen[1].body["metadata"]["name"]
    base = "/apis/events.k8s.io/v1/namespaces"
    assert script.calls == [
        ("POST", "/api/v1/namespaces/ns/events"),
        ("POST", f"{base}/ns/events"),
        ("PATCH", f"{base}/ns/events/{name}"),
        ("POST", f"{base}/default/events"),
    ]
    assert script.seen[1].body == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "ns"},
        "eventTime": "2026-01-02T03:04:05.000001Z",
        "action": "BackOff",
        "reason": "BackOff",
        "regarding": script.seen[0].body["involvedObject"],
        "reportingController": "kubelet",
        "reportingInstance": "n1",
        "type": "Warning",
        "note": "x" * 1023 + "…",
    }
    assert script.seen[2].body == {"series": {"count": 2, "lastObservedTime": "2026-01-02T03:04:15.000001Z"}}


async def test_an_api_without_any_events(make: Any, script: Any, recorder: EventRecorder) -> None:
    """Each is refused once, in either form; the next one is tried anew."""
    for _ in range(4):
        script.answers.append(make.answering(b"404 page not found", 404))
    for reason in ("A", "B"):
        recorder.event(REF, NORMAL, reason, "m")
    await recorder.flush()
    assert [path.startswith("/api/v1/") for _, path in script.calls] == [True, False, True, False]


async def test_a_full_queue_drops(client: ApiClient) -> None:
    """The 1001st waiting event is dropped; recording never blocks or raises."""
    recorder = EventRecorder(client, "n1")
    for number in range(1100):
        recorder.event(REF, NORMAL, "Started", str(number))
    assert recorder._queue.qsize() == 1000


async def test_names_are_unique(script: Any, recorder: EventRecorder) -> None:
    """Two events at the same instant have different names."""
    for reason in "AB":
        script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
        recorder.event(REF, NORMAL, reason, "x")
    await recorder.flush()
    assert len({request.body["metadata"]["name"] for request in script.seen}) == 2


async def test_references(script: Any, recorder: EventRecorder, caplog: pytest.LogCaptureFixture) -> None:
    """References carry what the API wants; node events have neither uid nor namespace and land in `default`."""
    pod = Pod(metadata=ObjectMeta(name="p", namespace="ns", uid="u", resourceVersion="4"))
    expected = ObjectReference(apiVersion="v1", kind="Pod", name="p", namespace="ns", uid="u", resourceVersion="4")
    assert (reference(pod), as_reference(agent_pod(pod))) == (expected, expected)
    assert reference(Node(metadata=ObjectMeta(name="n"))) == node_reference("n")
    script.answer({"kind": "Event", "metadata": {"name": "a"}, "involvedObject": {}})
    recorder.event(node_reference("n1"), NORMAL, "Starting", "Starting kubelet.")
    await recorder.flush()
    assert script.seen[0].path == "/api/v1/namespaces/default/events"
    assert script.seen[0].body["involvedObject"] == {"apiVersion": "v1", "kind": "Node", "name": "n1"}
    with caplog.at_level("INFO"):
        LoggingEvents().event(REF, WARNING, "Failed", "why", field_path="spec.containers{c}")
    assert caplog.messages[-1] == "event Warning Pod ns/p spec.containers{c}: Failed: why"
