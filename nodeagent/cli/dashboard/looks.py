"""Looks at the node, for all browsers together: one every two seconds at most, and none when nobody asks."""

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from lightkube.models.core_v1 import Pod

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.cli.dashboard.document import document
from nodeagent.cli.dashboard.history import History
from nodeagent.cli.dashboard.surroundings import Surroundings
from nodeagent.cli.usage import NodeUse, UsageUnknown, read

LOOK_SECONDS = 2.0
SURROUNDINGS_SECONDS = 10.0  # runtimes, events, what the node is: they change rarely, and cost more

_NEVER = float("-inf")


class Looks:
    """`error`: why the last look failed, empty if it did not. `seen`: whether any has succeeded."""

    def __init__(
        self,
        client: ApiClient,
        node_name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._node_name = node_name
        self._clock = clock
        self._now = now
        self._turn = asyncio.Lock()
        self._looked, self._looked_around = _NEVER, _NEVER
        self._history = History()
        self._surroundings = Surroundings()
        self._use: NodeUse | None = None
        self._pods: list[Pod] = []
        self._seen_at: datetime | None = None
        self._body, self._number, self._run = b"", 0, secrets.token_hex(4)
        self.error = ""

    @property
    def seen(self) -> bool:
        return self._use is not None

    async def document(self) -> tuple[str, bytes]:
        """(its ETag, the document as JSON), two seconds old at most. Who asks while a look is under way waits for it."""
        async with self._turn:
            if self._clock() - self._looked >= LOOK_SECONDS:
                self._looked = self._clock()
                await self._look()
                self._number += 1
                self._body = msgspec.json.encode(self._document())
            return f'"{self._run}-{self._number}"', self._body

    async def _look(self) -> None:
        """A failure keeps what was seen before."""
        name = self._node_name
        asking = self._client.sharing(qps=-1, burst=1, timeout_seconds=10.0)
        try:
            use, pods = await asyncio.gather(
                read(self._client, name), asking.list(Pod, field_selector=f"spec.nodeName={name}", patient=False)
            )
        except (ApiError, UsageUnknown) as error:
            self.error = error.message if isinstance(error, ApiError) else str(error)
            return
        self.error = ""
        self._use, self._pods, self._seen_at = use, pods.items, self._now()
        self._history.add(self._seen_at.timestamp(), use)
        if self._clock() - self._looked_around >= SURROUNDINGS_SECONDS:
            self._looked_around = self._clock()
            self._surroundings = await self._surroundings.read(asking, name, self._pods)

    def _document(self) -> dict[str, object]:
        found: dict[str, object] = {"name": self._node_name, "error": self.error}
        if self._use is None or self._seen_at is None:
            return found
        return found | document(self._use, self._pods, self._history, self._surroundings, self._seen_at)
