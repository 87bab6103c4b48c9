"""The lines of a watch."""

import json
from typing import Any

import pytest

from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.rest import watching
from nodeagent.apiserver.rest.list_options import list_options
from nodeagent.apiserver.rest.negotiation import Representation
from nodeagent.apiserver.rest.rendering import Renderer
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key


@pytest.fixture
def kind(registry: Registry) -> Resource:
    found = registry.by_id("configmaps")
    assert found is not None
    return found


async def put(store: Store, name: str, **labels: str) -> None:
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "d", "labels": labels}}
    await store.put("configmaps", Key("d", name), obj).durable()


def watch(store: Store, kind: Resource, form: Representation | None = None, **query: str) -> watching.Watch:
    options = list_options({"watch": ["true"], **{k: [v] for k, v in query.items()}}, kind, "d")
    return watching.Watch(store, kind, options, Renderer(kind, form or Representation()))


class Reader:
    """Takes single events from the chunks of a watch."""

    def __init__(self, watched: watching.Watch) -> None:
        self._batches = watched.batches()
        self._ready: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any]:
        while not self._ready:
            batch = await anext(self._batches)
            self._ready = [json.loads(line) for line in batch.render().splitlines()]
            assert len(self._ready) == batch.count
        return self._ready.pop(0)

    async def names(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def test_from_nothing(store: Store, kind: Resource) -> None:
    """Without a revision a watch begins with what there is."""
    await put(store, "b")
    await put(store, "a")
    reader = Reader(watch(store, kind))
    assert await reader.names(2) == [("ADDED", "a"), ("ADDED", "b")]
    await put(store, "a")
    await store.remove("configmaps", Key("d", "b")).durable()
    assert await reader.names(2) == [("MODIFIED", "a"), ("DELETED", "b")]


async def test_from_a_revision(store: Store, kind: Resource) -> None:
    """From a revision a watch tells what came after it, and only that."""
    for name in ("a", "b", "c"):
        await put(store, name)
    reader = Reader(watch(store, kind, resourceVersion="1"))
    assert await reader.names(2) == [("ADDED", "b"), ("ADDED", "c")]


async def test_watch_list(store: Store, kind: Resource) -> None:
    """Initial events end with a bookmark that says so, at the revision of the list; later changes follow."""
    await put(store, "a")
    await put(store, "b")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    watched = watch(store, kind, None, **query)
    await put(store, "c")
    reader = Reader(watched)
    assert await reader.names(2) == [("ADDED", "a"), ("ADDED", "b")]
    assert await reader.next() == {
        "type": "BOOKMARK",
        "object": {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {
                "resourceVersion": "2",
                "creationTimestamp": None,
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        },
    }
    assert await reader.names(1) == [("ADDED", "c")]


async def test_bookmarks(store: Store, kind: Resource, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bookmark carries the store's revision even when nothing of the kind changed."""
    monkeypatch.setattr(watching, "BOOKMARK_SECONDS", 0.0)
    await put(store, "a")
    reader = Reader(watch(store, kind, resourceVersion="1", allowWatchBookmarks="true"))
    await store.put("secrets", Key("d", "s"), {"metadata": {"name": "s"}}).durable()
    event = await reader.next()
    assert (event["type"], event["object"]["metadata"]["resourceVersion"]) == ("BOOKMARK", "2")


async def test_tables(store: Store, kind: Resource) -> None:
    """A watch of tables has a table of one row in each event."""
    await put(store, "a")
    event = await Reader(watch(store, kind, Representation(shape="table"))).next()
    table = event["object"]
    assert (event["type"], table["kind"], table["rows"][0]["cells"][:2]) == ("ADDED", "Table", ["a", 0])
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_server_stops(store: Store, kind: Resource) -> None:
    """When the store closes its watchers, the stream ends after what was already told."""
    watched = watch(store, kind, resourceVersion="0")
    await put(store, "a")
    for watcher in store.watchers():
        watcher.close()
    assert [json.loads(line)["type"] async for batch in watched.batches() for line in [batch.render()]] == ["ADDED"]
    watched.close()
    assert list(store.watchers()) == []
