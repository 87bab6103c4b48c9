"""The API source: the first list counts as a whole, then each event by itself."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from lightkube.models.core_v1 import Pod
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.client import EventType, WatchEvent
from nodeagent.sources.api import ApiSource
from nodeagent.sources.merger import PodMerger


class Api:
    """Watches only, from a queue."""

    streams_lists = True

    def __init__(self) -> None:
        self.events: asyncio.Queue[WatchEvent[Pod]] = asyncio.Queue()
        self.asked: list[dict[str, Any]] = []
        self.was_asked = asyncio.Event()

    async def watch(self, kind: Any, namespace: Any, **query: Any) -> AsyncIterator[WatchEvent[Pod]]:
        self.asked.append({"kind": kind, "namespace": namespace, "field_selector": query["field_selector"]})
        self.was_asked.set()
        while True:
            yield await self.events.get()

    def send(self, kind: EventType, name: str, version: str) -> None:
        pod = Pod(metadata=ObjectMeta(name=name, namespace="ns", uid=f"u-{name}", resourceVersion=version))
        self.events.put_nowait(WatchEvent(type=kind, object=pod, resource_version=version))

    def bookmark(self) -> None:
        self.events.put_nowait(
            WatchEvent(type=EventType.BOOKMARK, object=None, resource_version="5", initial_events_end=True)
        )


async def test_not_knowing_its_pods_is_trouble() -> None:
    """30 s without the Node, or without a list of the pods, is trouble, with the reason; a complete list ends it."""
    now = 0.0
    api, node_synced = Api(), asyncio.Event()

    async def ready() -> None:
        await node_synced.wait()

    listed: asyncio.Queue[Any] = asyncio.Queue()
    source = ApiSource(
        api,
        "n1",
        PodMerger(listed.put_nowait, ["api"], events=None),
        ready,
        node_trouble=lambda: "no rights",
        clock=lambda: now,
    )
    assert source.trouble() == ""
    task = asyncio.create_task(source.run())
    await asyncio.sleep(0)
    now = 29.0
    assert source.trouble() == ""
    now = 31.0
    assert source.trouble() == "the pods of this node are not known, its Node could not be read: no rights"
    node_synced.set()
    await api.was_asked.wait()
    assert source.trouble() == ""
    now = 62.0
    assert source.trouble() == "the pods of this node cannot be listed: no answer yet"
    api.bookmark()
    await listed.get()
    assert source.trouble() == ""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_first_the_whole_then_each_change() -> None:
    """Nothing is asked before the Node was looked for; the first set is one batch; then changes come one by one."""
    batches: asyncio.Queue[list[tuple[str, str]]] = asyncio.Queue()

    def take(changes: Any) -> None:
        batches.put_nowait([(change.type.value, change.pod.metadata.name) for change in changes])

    api, node_synced = Api(), asyncio.Event()

    async def ready() -> None:
        await node_synced.wait()

    merger = PodMerger(take, ["api"], events=None)
    task = asyncio.create_task(ApiSource(api, "n1", merger, ready).run())
    api.send(EventType.ADDED, "a", "1")
    api.send(EventType.ADDED, "b", "2")
    await asyncio.sleep(0)
    assert api.asked == []
    node_synced.set()
    api.bookmark()
    assert await batches.get() == [("ADD", "a"), ("ADD", "b")]
    assert merger.all_seen
    assert api.asked == [{"kind": Pod, "namespace": None, "field_selector": "spec.nodeName=n1"}]
    api.send(EventType.ADDED, "c", "6")
    assert await batches.get() == [("ADD", "c")]
    api.send(EventType.DELETED, "a", "7")
    assert await batches.get() == [("REMOVE", "a")]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
