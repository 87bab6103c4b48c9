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


async def test_initial_stream_that_breaks_shows_nothing(make: Any, script: Any, mirror: Any) -> None:
    """Half of an initial state is never shown; the next attempt brings the whole."""
    script.watch(make.event("ADDED", make.config_map("a", 1)), end="drop")
    script.watch(make.event("ADDED", make.config_map("b", 2)), make.bookmark(3, end=True), end="stay")
    it = mirror()
    it.start()
    await it.informer.synced()
    assert it.said == [("ADDED", "b", "2")]


async def test_forbidden_is_asked_again(make: Any, script: Any, mirror: Any, naps: Any) -> None:
    """A refusal is waited out, by plain list in between: rights may be given later."""
    script.watch(make.failure(403, "Forbidden"), status=403)
    script.answer(make.failure(403, "Forbidden"), 403)
    script.watch(make.bookmark(3, end=True), end="stay")
    it = mirror()
    it.start()
    await it.informer.synced()
    assert len(naps.seconds) == 2


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
