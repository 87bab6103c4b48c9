"""Who attaches a FlexVolume driver's volumes: a cluster's attach controller, or, where there is none, this node.

With enableControllerAttachDetach (the default) a controller does, and says so in the Node's status; the agent waits for that.
"""

from nodeagent.volumes.attached import NodeInformed, reported
from nodeagent.volumes.flex.driver import Driver, DriverCannot


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
    """Waits until the Node's status has the volume. What is taken away is the controller's, too."""

    def __init__(self, nodes: NodeInformed) -> None:
        self._nodes = nodes

    async def attach(self, driver: Driver, volume_id: str, options: str) -> str:
        return (await reported(self._nodes, volume_id)).devicePath

    async def detach(self, driver: Driver, volume_name: str) -> None:
        return
