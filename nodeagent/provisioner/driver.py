"""The driver that volumes come from, as its clients here see it."""

import asyncio
from collections.abc import Mapping
from typing import Final

from csi.client import Client, Controller
from csi.errors import CSIError
from runtimes.linux.retry import Backoff, RetryPolicy

# a healthy driver has started within a second; one that cannot start is not to be asked all the time
_LOOK: Final = RetryPolicy(first_seconds=0.05, factor=1.2, cap_seconds=5.0)


class Driver:
    """`name`: as in StorageClasses and PersistentVolumes. Calls raise csi.errors."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self._client = client

    @property
    def controller(self) -> Controller:
        return self._client.controller

    async def answers(self) -> None:
        """Return when it does; it may be starting."""
        backoff = Backoff(_LOOK)
        while True:
            try:
                if await self._client.identity.ready():
                    return
            except CSIError:
                pass
            await asyncio.sleep(backoff.next_delay())

    async def topology(self) -> Mapping[str, str]:
        """Where this node is, and with it the volumes that are made here. Raises CSIError."""
        return (await self._client.node.info()).topology
