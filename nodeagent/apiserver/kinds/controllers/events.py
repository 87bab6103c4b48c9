"""Events are forgotten an hour after they were last written."""

import asyncio
import heapq
import time

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.controllers.follow import Change, Watch, follow, forever
from nodeagent.apiserver.kinds.timestamps import epoch
from runtimes.kube.json_object import JsonObject

TTL_SECONDS = 3600.0
BATCH = 100
Key = tuple[str, str]


def last_seen(event: JsonObject) -> float:
    """Epoch seconds of an event's newest time stamp."""
    texts = (
        (event.get("series") or {}).get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    moments = []
    for text in texts:
        try:
            moments.append(epoch(str(text)))
        except ValueError:
            continue
    return max(moments, default=time.time())


class EventExpiry:
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        self._due, self._heap = {}, []
        async with follow(self._api, [Watch(resource="events")]) as feed:
            while True:
                for change in await feed.batch(self._wait_seconds()):
                    self._apply(change)
                await self._expire()

    def _apply(self, change: Change) -> None:
        if change.type == "SYNCED":
            return
        if change.type == "DELETED":
            self._due.pop(change.key, None)
            return
        due = last_seen(change.object) + TTL_SECONDS
        self._due[change.key] = due
        heapq.heappush(self._heap, (due, change.key))

    def _wait_seconds(self) -> float | None:
        return max(0.0, self._heap[0][0] - time.time()) if self._heap else None

    async def _expire(self) -> None:
        """Delete what is due, some at a time so that other work is not held up."""
        for _ in range(BATCH):
            if not self._heap or self._heap[0][0] > time.time():
                return
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) != due:
                continue  # written again since, or gone
            del self._due[key]
            try:
                await self._api.delete("events", *key)
            except ApiError as error:
                if error.code != 404:
                    raise
        await asyncio.sleep(0)
