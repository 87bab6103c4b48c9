"""The pods that the API has bound to this node.

Source: docs/facts/pod-lifecycle.md 1.1, docs/facts/api-client-and-server.md C.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from lightkube.models.core_v1 import Pod

from nodeagent.api.client import ApiClient
from nodeagent.api.informer import Informer
from nodeagent.api.outage import NO_ANSWER, Outage
from nodeagent.api.wire import EventType
from nodeagent.podspec.pod import API
from nodeagent.sources.merger import PodMerger

BLIND_SECONDS = 30.0  # a node that has not known its pods for so long is not healthy


class ApiSource:
    """Feeds the merger from a watch of the own pods; `node_synced` returns when the own Node was first looked for.

    `node_trouble`: why it could not be, as yet.
    """

    def __init__(
        self,
        client: ApiClient,
        node_name: str,
        merger: PodMerger,
        node_synced: Callable[[], Awaitable[None]],
        *,
        node_trouble: Callable[[], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.informer: Informer[Pod] = Informer(client, Pod, field_selector=f"spec.nodeName={node_name}", clock=clock)
        self._merger = merger
        self._node_synced = node_synced
        self._complete = False
        self._node_trouble = node_trouble
        # admission looks at the Node's labels: pods are not admitted by those of a Node that could not be read
        self._waiting = Outage(f"pods of {node_name}: not asked for before its Node could be read", clock=clock)

    def trouble(self) -> str:
        """Why the pods of this node have not been known for 30 s or more; empty: they are known."""
        if max(self._waiting.seconds, self.informer.blind_seconds) < BLIND_SECONDS:
            return ""
        if self._waiting.since is not None:
            return (
                f"the pods of this node are not known, its Node could not be read: {self._node_trouble() or NO_ANSWER}"
            )
        return f"the pods of this node cannot be listed: {self.informer.trouble or NO_ANSWER}"

    async def run(self) -> None:
        """Deliver until cancelled. An outage changes nothing: the pods last seen stay wanted."""
        self._waiting.tried()
        try:
            await self._node_synced()
        finally:
            self._waiting.works()
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
