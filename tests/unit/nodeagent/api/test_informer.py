"""The reflector: what it asks for, what it tells its subscribers, and how it gets over a server's moods."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from lightkube.models.core_v1 import ConfigMap

from nodeagent.api.client import ApiClient
from nodeagent.api.informer import Informer


class Mirror:
    """An informer that runs, and what it said, as (type, name, version)."""

    def __init__(self, client: ApiClient, naps: Any, **options: Any) -> None:
        self.informer: Informer[ConfigMap] = Informer(client, ConfigMap, sleep=naps, **options)
        self.said: list[tuple[str, str, str]] = []
        self._news = asyncio.Event()
        self.informer.subscribe(self._note)
        self.task: asyncio.Task[None] | None = None

    def _note(self, kind: Any, old: Any, new: Any) -> None:
        metadata = (new or old).metadata
        self.said.append((kind.value, metadata.name, metadata.resourceVersion))
        self._news.set()

    def start(self) -> None:
        self.task = asyncio.create_task(self.informer.run())

    async def until(self, count: int) -> list[tuple[str, str, str]]:
        while len(self.said) < count:
            self._news.clear()
            await self._news.wait()
        return self.said

    @property
    def names(self) -> list[str]:
        return sorted(item.metadata.name for item in self.informer.items())


@pytest.fixture
async def mirror(client: ApiClient, naps: Any) -> AsyncIterator[Any]:
    made: list[Mirror] = []

    def factory(**options: Any) -> Mirror:
        made.append(Mirror(client, naps, **options))
        return made[-1]

    yield factory
    for item in made:
        if item.task:
            item.task.cancel()
            await asyncio.gather(item.task, return_exceptions=True)


async def test_watch_list_gives_the_first_state(make: Any, script: Any, mirror: Any) -> None:
    """With WatchList one request brings the state and what follows; the store appears only at the end bookmark."""
    script.watch(
        make.event("ADDED", make.config_map("a", 1)),
        make.event("ADDED", make.config_map("b", 2)),
        make.bookmark(7, end=True),
        make.event("MODIFIED", make.config_map("a", 8)),
        make.event("DELETED", make.config_map("b", 9)),
        end="stay",
    )
    it = mirror(namespace="ns", field_selector="metadata.name!=z")
    it.start()
    assert await it.until(4) == [
        ("ADDED", "a", "1"),
        ("ADDED", "b", "2"),
        ("MODIFIED", "a", "8"),
        ("DELETED", "b", "9"),
    ]
    assert it.informer.has_synced
    assert it.names == ["a"]
    query = script.seen[0].query
    assert query | {"timeoutSeconds": ""} == {
        "watch": "true",
        "fieldSelector": "metadata.name!=z",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "",
    }
    assert 300 <= int(query["timeoutSeconds"]) <= 600


@pytest.mark.parametrize("code", [400, 422])
async def test_falls_back_to_list_and_watch(make: Any, script: Any, mirror: Any, naps: Any, code: int) -> None:
    """A server that rejects WatchList gets a list at version 0 at once, then a watch from there; and is not asked again."""
    script.watch(make.failure(code, ""), status=code)
    script.answer(make.listing(5, make.config_map("a", 1)))
    script.watch(make.failure(410, "Expired"), status=410)
    script.answer(make.listing(9, make.config_map("a", 8)))
    script.watch(end="stay")
    it = mirror()
    it.start()
    await script.asked(5)
    assert it.said == [("ADDED", "a", "1"), ("MODIFIED", "a", "8")]
    assert [
        ("watch" in request.query, request.query.get("resourceVersion"), "sendInitialEvents" in request.query)
        for request in script.seen
    ] == [(True, None, True), (False, "0", False), (True, "5", False), (False, "5", False), (True, "9", False)]
    assert naps.seconds == []


async def test_vanished_objects_are_reported_after_a_relist(make: Any, script: Any, mirror: Any) -> None:
    """410 in the watch: list again; the vanished are DELETED, the unchanged are not mentioned."""
    script.answer(make.listing(5, make.config_map("a", 1), make.config_map("b", 2), make.config_map("c", 3)))
    script.watch(make.bookmark(6), make.event("ERROR", make.failure(410, "Expired")))
    script.answer(make.listing(9, make.config_map("b", 2), make.config_map("c", 8), make.config_map("d", 9)))
    script.watch(end="stay")
    it = mirror(watch_list=False)
    it.start()
    await script.asked(4)
    assert it.said[3:] == [("DELETED", "a", "1"), ("MODIFIED", "c", "8"), ("ADDED", "d", "9")]
    assert script.seen[2].query["resourceVersion"] == "6"


async def test_relist_that_is_expired_too_asks_for_the_newest(make: Any, script: Any, mirror: Any, naps: Any) -> None:
    """When the last seen version is refused for the list as well, the next list asks for no version, at once."""
    script.answer(make.listing(5))
    script.watch(make.failure(410, "Gone"), status=410)
    script.answer(make.failure(410, "Expired"), 410)
    script.answer(make.listing(99))
    script.watch(end="stay")
    mirror(watch_list=False).start()
    await script.asked(5)
    assert [request.query.get("resourceVersion") for request in script.seen] == ["0", "5", "5", None, "99"]
    assert naps.seconds == []


async def test_a_history_that_goes_back_is_listed_anew(make: Any, script: Any, mirror: Any) -> None:
    """A bookmark older than what was seen: the server came back from a backup. What it has is taken, what it lost is DELETED."""
    script.answer(make.listing(50, make.config_map("a", 40), make.config_map("b", 49)))
    script.watch(make.bookmark(30), end="stay")
    too_large = make.failure(504, "Timeout", causes=[{"reason": "ResourceVersionTooLarge"}])
    script.answer(too_large, 504)
    script.answer(make.listing(30, make.config_map("a", 20)))
    script.watch(make.event("ADDED", make.config_map("c", 31)), end="stay")
    it = mirror(watch_list=False)
    it.start()
    assert (await it.until(5))[2:] == [("DELETED", "b", "49"), ("MODIFIED", "a", "20"), ("ADDED", "c", "31")]
    assert [request.query.get("resourceVersion") for request in script.seen] == ["0", "50", "50", None, "30"]


async def test_too_large_version_asks_for_the_newest(make: Any, script: Any, mirror: Any) -> None:
    """A server that is behind (or was reset) is asked for the newest it has."""
    script.answer(make.listing(50, make.config_map("a", 1)))
    too_large = make.failure(504, "Timeout", causes=[{"reason": "ResourceVersionTooLarge"}])
    script.watch(too_large, status=504)
    script.answer(make.listing(3))
    script.watch(end="stay")
    it = mirror(watch_list=False)
    it.start()
    await script.asked(4)
    assert [request.query.get("resourceVersion") for request in script.seen] == ["0", "50", None, "3"]
    assert it.said == [("ADDED", "a", "1"), ("DELETED", "a", "1")]


async def test_an_outage_resumes_the_watch_where_it_stopped(make: Any, script: Any, mirror: Any, naps: Any) -> None:
    """Drops, 429 and 500 cost a growing wait, never a list; the next watch starts at the last version seen."""
    script.answer(make.listing(5, make.config_map("a", 1)))
    script.watch(make.event("ADDED", make.config_map("b", 6)), end="drop")
    script.watch(make.failure(429, "TooManyRequests"), status=429)
    script.watch(make.failure(500, "InternalError"), status=500)
    script.watch(make.event("MODIFIED", make.config_map("b", 7)), end="stay")
    it = mirror(watch_list=False)
    it.start()
    assert await it.until(3) == [("ADDED", "a", "1"), ("ADDED", "b", "6"), ("MODIFIED", "b", "7")]
    assert [request.query.get("resourceVersion") for request in script.seen] == ["0", "5", "6", "6", "6"]
    low, high = (0.8, 1.6, 3.2), (1.6, 3.2, 6.4)
    assert all(a <= nap <= b for a, nap, b in zip(low, naps.seconds, high, strict=True))


@pytest.mark.parametrize("end", ["expired", "clean"])
async def test_a_server_in_a_hurry_makes_no_hot_loop(make: Any, script: Any, mirror: Any, naps: Any, end: str) -> None:
    """Watches that end at once, each with an event or with 410 after a list that went well: from the sixth request on each one
    waits, longer and longer."""
    for number in range(20):
        script.answer(make.listing(10 + number, make.config_map("a", 1)))
        if end == "clean":
            script.watch(make.event("MODIFIED", make.config_map("a", 100 + number)))
        else:
            script.watch(make.event("ERROR", make.failure(410, "Expired")))
    it = mirror(watch_list=False)
    it.start()
    await script.asked(14)
    assert 4 <= len(naps.seconds) <= 9
    assert naps.seconds[0] >= 0.8
    assert max(naps.seconds) > 5.0
    assert it.names == ["a"]


async def test_a_watch_that_has_gone_silent_is_asked_for_anew(
    make: Any, script: Any, mirror: Any, naps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that stops without closing: the watch goes on from the last version over another connection; nothing is listed."""
    monkeypatch.setattr("nodeagent.api.client.WATCH_SILENCE_SECONDS", 0.02)
    monkeypatch.setattr("nodeagent.api.informer.SHORT_WATCH_SECONDS", 0.01)
    script.watch(make.event("ADDED", make.config_map("a", 1)), make.bookmark(7, end=True), make.bookmark(8), end="stay")
    script.watch(end="stay")
    script.watch(make.event("MODIFIED", make.config_map("a", 9)), end="stay")
    it = mirror()
    it.start()
    assert await it.until(2) == [("ADDED", "a", "1"), ("MODIFIED", "a", "9")]
    assert [
        (request.query.get("watch"), request.query.get("resourceVersion"), "sendInitialEvents" in request.query)
        for request in script.seen[:3]
    ] == [("true", None, True), ("true", "8", False), ("true", "8", False)]
    assert naps.seconds == []
    assert it.informer.trouble == ""


async def test_clean_end_watches_on_without_waiting(make: Any, script: Any, mirror: Any, naps: Any) -> None:
    """The server's time-out of a watch is no error; an instant empty one is."""
    script.answer(make.listing(5))
    script.watch(make.bookmark(8))
    script.watch()
    script.watch(end="stay")
    mirror(watch_list=False).start()
    await script.asked(4)
    assert [request.query.get("resourceVersion") for request in script.seen] == ["0", "5", "8", "8"]
    assert len(naps.seconds) == 1


NO_PROGRESS = (
    "a watch stream was requested by the client but the required storage feature RequestWatchProgress is disabled"
)


@pytest.mark.parametrize(
    "stream",
    [
        "error 500",
        "status 500",
        "status 503",
        "status 404",
        "status 401",
        "not json",
        "cut short",
        "wrong kind",
        "html",
        "drop",
        "clean end",
    ],
)
async def test_any_error_of_a_streaming_list_means_a_plain_one(
    make: Any, script: Any, mirror: Any, naps: Any, stream: str
) -> None:
    """Whatever becomes of the stream, a list is asked for at once, and a watch from there; half a stream is never shown."""
    half = make.event("ADDED", make.config_map("half", 1))
    if stream.startswith("status"):
        script.watch(make.failure(int(stream[-3:]), ""), status=int(stream[-3:]))
    elif stream == "html":
        script.watches.append(make.answering(b"<html></html>", 200, {"Content-Type": "text/html"}))
    else:
        events = {
            "error 500": (make.event("ERROR", make.failure(500, "", NO_PROGRESS)), "clean"),
            "not json": (b"<html>\n", "stay"),
            "cut short": (b'{"type":"ADDED","object":{"kind":"Conf', "clean"),
            "wrong kind": (make.event("ADDED", make.config_map("x", 1) | {"kind": "Secret"}), "stay"),
            "drop": (half, "drop"),
            "clean end": (half, "clean"),
        }[stream]
        script.watch(half, events[0], end=events[1])
    script.answer(make.listing(5, make.config_map("a", 4)))
    script.watch(make.event("MODIFIED", make.config_map("a", 6)), end="stay")
    it = mirror()
    it.start()
    assert await it.until(2) == [("ADDED", "a", "4"), ("MODIFIED", "a", "6")]
    assert [
        (request.query.get("resourceVersion"), "watch" in request.query, "sendInitialEvents" in request.query)
        for request in script.seen
    ] == [(None, True, True), ("0", False, False), ("5", True, False)]
    assert naps.seconds == []


async def test_a_stream_without_an_end_is_given_up(
    make: Any, script: Any, mirror: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes the request and never says that the initial state is complete gets a list, now and later."""
    monkeypatch.setattr("nodeagent.api.informer.BOOKMARK_SECONDS", 1.0)
    script.watch(make.event("ADDED", make.config_map("a", 1)), end="stay")
    script.answer(make.listing(5, make.config_map("a", 4)))
    script.watch(make.failure(410, "Gone"), status=410)
    script.answer(make.listing(7, make.config_map("a", 4)))
    script.watch(end="stay")
    it = mirror()
    it.start()
    await script.asked(5)
    assert it.said == [("ADDED", "a", "4")]
    assert ["sendInitialEvents" in request.query for request in script.seen] == [True, False, False, False, False]
    script.answer(make.listing(8))
    mirror().start()
    await script.asked(6)
    assert "sendInitialEvents" not in script.seen[5].query, "what one has found out, others need not"


async def test_a_refusing_server_is_asked_for_a_stream_again_when_all_is_listed_anew(
    make: Any, script: Any, mirror: Any
) -> None:
    """500 may pass (another server behind the same address, a newer etcd): the next time of need a stream is tried again."""
    script.watch(make.event("ERROR", make.failure(500, "", NO_PROGRESS)))
    script.answer(make.listing(5, make.config_map("a", 4)))
    script.watch(make.failure(410, "Gone"), status=410)
    script.watch(make.event("ADDED", make.config_map("a", 8)), make.bookmark(9, end=True), end="stay")
    it = mirror()
    it.start()
    assert await it.until(2) == [("ADDED", "a", "4"), ("MODIFIED", "a", "8")]


async def test_forbidden_is_asked_again(make: Any, script: Any, mirror: Any, naps: Any) -> None:
    """A refusal of stream and list is waited out: rights may be given later."""
    script.watch(make.failure(403, "Forbidden"), status=403)
    script.answer(make.failure(403, "Forbidden"), 403)
    script.answer(make.listing(3))
    it = mirror()
    it.start()
    await it.informer.synced()
    assert len(naps.seconds) == 1


async def test_rubbish_never_empties_the_copy(make: Any, script: Any, mirror: Any) -> None:
    """Lists that are none, and items that do not decode, leave the objects as they were last seen."""
    script.answer(make.listing(5, make.config_map("a", 1), make.config_map("b", 2)))
    script.watch(b"<html>\n", end="stay")
    for body in (b"{}", b'{"kind":"SecretList","items":[]}', b"<html>"):
        script.answer(body)
    script.answer(make.listing(9, make.config_map("a", 8, data=7)))
    script.watch(end="stay")
    it = mirror(watch_list=False)
    it.start()
    await script.asked(7)
    assert it.said == [("ADDED", "a", "1"), ("ADDED", "b", "2"), ("DELETED", "b", "2")]
    assert it.names == ["a"]


async def test_events_of_objects_that_cannot_be_decoded(make: Any, script: Any, mirror: Any) -> None:
    """A change that cannot be read leaves the object as it was; that it is gone can be read all the same."""
    script.answer(make.listing(5, make.config_map("a", 1), make.config_map("b", 2)))
    script.watch(
        make.event("MODIFIED", make.config_map("a", 6, data=7)),
        make.event("DELETED", make.config_map("b", 7, data=7)),
        end="stay",
    )
    it = mirror(watch_list=False)
    it.start()
    assert await it.until(3) == [("ADDED", "a", "1"), ("ADDED", "b", "2"), ("DELETED", "b", "2")]
    assert it.names == ["a"]


async def test_a_stream_that_is_not_answered_may_come_later(
    make: Any, script: Any, mirror: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer at all says nothing of streams: the next time of need one is asked for again."""
    monkeypatch.setattr("nodeagent.api.informer.BOOKMARK_SECONDS", 1.0)

    async def silent(request: Any) -> Any:
        await script.release.wait()

    script.watches.append(silent)
    script.answer(make.listing(5))
    script.watch(make.failure(410, "Gone"), status=410)
    script.watch(make.bookmark(9, end=True), end="stay")
    it = mirror()
    it.start()
    await script.asked(4)
    assert ["sendInitialEvents" in request.query for request in script.seen] == [True, False, False, True]


async def test_a_server_whose_watches_do_not_work_is_listed_again(
    make: Any, script: Any, mirror: Any, naps: Any
) -> None:
    """After four failed watches in a row the copy is kept by lists, one a turn, with a watch tried in between."""
    script.answer(make.listing(5, make.config_map("a", 1)))
    for _ in range(4):
        script.watch(end="clean")
    script.answer(make.listing(6, make.config_map("a", 6)))
    script.watch(make.failure(500, "InternalError"), status=500)
    script.answer(make.listing(7, make.config_map("a", 7)))
    script.watch(make.event("MODIFIED", make.config_map("a", 8)), end="stay")
    it = mirror(watch_list=False)
    it.start()
    assert await it.until(4) == [("ADDED", "a", "1")] + [("MODIFIED", "a", str(number)) for number in (6, 7, 8)]
    assert ["w" if "watch" in request.query else "l" for request in script.seen] == list("lwwwwlwlw")
    assert len(naps.seconds) == 5
    assert (it.informer.blind_seconds, it.informer.trouble) == (0.0, "")


async def test_an_absent_kind_may_count_as_empty(make: Any, script: Any, mirror: Any) -> None:
    """404 for the path: for those who asked for it the wait ends, with no objects; for others it does not."""
    for absent_is_empty in (True, False):
        script.watch(b"404 page not found", status=404)
        script.answer(b"404 page not found", 404)
        script.answer(make.failure(403, "Forbidden"), 403)
        it = mirror(absent_is_empty=absent_is_empty)
        it.start()
        await script.asked(4 if absent_is_empty else 8)
        assert (it.informer.has_synced, it.informer.items()) == (absent_is_empty, [])
        it.task.cancel()
        await asyncio.gather(it.task, return_exceptions=True)


async def test_a_busy_server_is_left_alone_as_long_as_it_asks(
    make: Any, script: Any, mirror: Any, naps: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """429 with Retry-After: told at once, asked again after that time, by a plain list."""
    script.answer(make.failure(429, "TooManyRequests", "too many"), 429, {"Retry-After": "7"})
    script.answer(make.listing(5, make.config_map("a", 1)))
    it = mirror(watch_list=False)
    it.start()
    assert await it.until(1) == [("ADDED", "a", "1")]
    assert naps.seconds == [7.0]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "list of ConfigMap: too many"
    ]


async def test_how_long_it_is_blind(make: Any, script: Any, mirror: Any) -> None:
    """From the first attempt on until there is a whole state; while the API refuses connections; not in between."""
    now = 100.0
    script.watch(make.failure(500, "InternalError", "no stream"), status=500)
    script.answer(make.failure(500, "InternalError", "no list"), 500)
    it = mirror(clock=lambda: now)
    it.start()
    await script.asked(3)  # a list that is not answered
    now += 31
    assert (it.informer.blind_seconds, it.informer.trouble) == (31.0, "no list")
    script.release.set()
    await asyncio.sleep(0)
    assert it.informer.blind_seconds == 31.0


async def test_late_subscribers_and_failing_ones(make: Any, script: Any, mirror: Any) -> None:
    """A late subscriber is told what is there; one that raises does not stop the others; an undone one is left alone."""
    script.answer(make.listing(5, make.config_map("a", 1)))
    script.watch(make.event("MODIFIED", make.config_map("a", 6)), end="stay")
    it = mirror(watch_list=False)

    def broken(*_: Any) -> None:
        raise RuntimeError("bug")

    it.informer.subscribe(broken)
    left: list[Any] = []
    undo = it.informer.subscribe(lambda *change: left.append(change))
    undo()
    it.start()
    await it.until(2)
    late: list[Any] = []
    it.informer.subscribe(lambda kind, old, new: late.append((kind.value, old, new.metadata.resourceVersion)))
    assert late == [("ADDED", None, "6")]
    assert left == []
    assert it.informer.get("ns", "a").metadata.resourceVersion == "6"
    assert it.informer.get("ns", "nope") is None
