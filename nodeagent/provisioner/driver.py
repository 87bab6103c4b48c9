"""The driver that volumes come from, as its clients here see it."""

import asyncio
from collections.abc import Mapping
from typing import Final

from csi.client import Client, Controller
from csi.errors import CSIError

_LOOK_SECONDS: Final = 0.05


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
        while True:
            try:
                if await self._client.identity.ready():
                    return
            except CSIError:
                pass
            await asyncio.sleep(_LOOK_SECONDS)

    async def topology(self) -> Mapping[str, str]:
        """Where this node is, and with it the volumes that are made here. Raises CSIError."""
        return (await self._client.node.info()).topology
