"""Who attaches a FlexVolume driver's volumes: a cluster's attach controller, or, where there is none, this node.

With enableControllerAttachDetach (the default) a controller does, and says so in the Node's status; the agent waits for that.
"""

import asyncio
from collections.abc import Awaitable, Callable

from lightkube.models.core_v1 import Node

from nodeagent.volumes.flex.driver import Driver, DriverCannot

LOOK_SECONDS = 0.3


class NodeAttacher:
    """Asks the driver, on this node."""

    def __init__(self, node_name: str) -> None:
        self._node_name = node_name

    async def attach(self, driver: Driver, volume_id: str, options: str) -> str:
        try:
            return (await driver.call("attach", options, self._node_name)).device
        except DriverCannot:
            return ""

    async def detach(self, driver: Driver, volume_name: str) -> None:
        try:
            await driver.call("detach", volume_name, self._node_name)
        except DriverCannot:
            return


class ControllerAttacher:
    """Looks at the Node's status until the volume is there. What is taken away is the controller's, too."""

    def __init__(
        self, own_node: Callable[[], Node | None], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._own_node = own_node
        self._sleep = sleep

    async def attach(self, driver: Driver, volume_id: str, options: str) -> str:
        while (device := self._device(volume_id)) is None:
            await self._sleep(LOOK_SECONDS)
        return device

    async def detach(self, driver: Driver, volume_name: str) -> None:
        return

    def _device(self, volume_id: str) -> str | None:
        node = self._own_node()
        status = node.status if node is not None else None
        attached = (status.volumesAttached if status is not None else None) or ()
        return next((each.devicePath for each in attached if each.name == volume_id), None)
