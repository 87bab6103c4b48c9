"""Who attaches FlexVolumes."""

import asyncio
from pathlib import Path

from lightkube.models.core_v1 import AttachedVolume, Node, NodeStatus

from nodeagent.volumes.flex.attachers import ControllerAttacher
from nodeagent.volumes.flex.driver import Driver

DRIVER = Driver(name="a/b", program=Path("/none"))


async def test_a_controller_is_waited_for() -> None:
    """Until the Node's status has the volume; the device is what it says. The node takes nothing away."""
    nodes = [
        None,
        Node(),
        Node(status=NodeStatus(volumesAttached=[AttachedVolume(name="flexvolume-a/b/other", devicePath="/dev/x")])),
        Node(status=NodeStatus(volumesAttached=[AttachedVolume(name="flexvolume-a/b/v", devicePath="/dev/y")])),
    ]

    async def sleep(seconds: float) -> None:
        nodes.pop(0)
        await asyncio.sleep(0)

    attacher = ControllerAttacher(lambda: nodes[0], sleep)
    assert await attacher.attach(DRIVER, "flexvolume-a/b/v", "{}") == "/dev/y"
    assert len(nodes) == 1
    await attacher.detach(DRIVER, "v")
