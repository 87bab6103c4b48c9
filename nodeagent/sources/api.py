"""The pods that the API has bound to this node. Source: facts pod-lifecycle 1.1, api-client C."""

import asyncio
from collections.abc import Awaitable, Callable

from lightkube.models.core_v1 import Pod

from nodeagent.api.client import ApiClient
from nodeagent.api.informer import Informer
from nodeagent.api.wire import EventType
from nodeagent.sources.merger import API, PodMerger


class ApiSource:
    """Feeds the merger from a watch of the own pods; `node_synced` returns when the own Node was first looked for."""

    def __init__(
        self, client: ApiClient, node_name: str, merger: PodMerger, node_synced: Callable[[], Awaitable[None]]
    ) -> None:
        self.informer: Informer[Pod] = Informer(client, Pod, field_selector=f"spec.nodeName={node_name}")
        self._merger = merger
        self._node_synced = node_synced
        self._complete = False

    async def run(self) -> None:
        """Deliver until cancelled. An outage changes nothing: the pods last seen stay wanted."""
        await self._node_synced()
        self.informer.subscribe(self._changed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.informer.run())
            tasks.create_task(self._first())

    async def _first(self) -> None:
        await self.informer.synced()
        self._complete = True
        self._merger.replace(API, self.informer.items())

    def _changed(self, kind: EventType, old: Pod | None, new: Pod | None) -> None:
        if not self._complete:
            return  # the first list counts as a whole, once it is complete
        if new is not None:
            self._merger.update(API, new)
        elif old is not None:
            self._merger.remove(API, old)
