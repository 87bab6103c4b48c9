"""Who attaches FlexVolumes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from lightkube.models.core_v1 import AttachedVolume, Node, NodeStatus

from nodeagent.volumes.flex.attachers import ControllerAttacher
from nodeagent.volumes.flex.driver import Driver


class Nodes:
    """The own Node, as an informer has it; there is none yet."""

    def __init__(self) -> None:
        self.known: list[Node] = []
        self.callbacks: list[Callable[[object, object, object], None]] = []

    def items(self) -> list[Node]:
        return self.known

    def subscribe(self, callback: Callable[[object, object, object], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def tell(self, node: Node) -> None:
        self.known = [node]
        for callback in self.callbacks:
            callback(None, None, node)


DRIVER = Driver(name="a/b", program=Path("/none"))


async def test_a_controller_is_waited_for() -> None:
    """Until the Node's status has the volume; the device is what it says. The node takes nothing away."""
    nodes = Nodes()
    attacher = ControllerAttacher(nodes)
    waiting = asyncio.create_task(attacher.attach(DRIVER, "flexvolume-a/b/v", "{}"))
    for told in (
        Node(),
        Node(status=NodeStatus(volumesAttached=[AttachedVolume(name="flexvolume-a/b/other", devicePath="/dev/x")])),
        Node(status=NodeStatus(volumesAttached=[AttachedVolume(name="flexvolume-a/b/v", devicePath="/dev/y")])),
    ):
        await asyncio.sleep(0)
        assert not waiting.done()
        nodes.tell(told)
    assert await waiting == "/dev/y"
    assert nodes.callbacks == []
    await attacher.detach(DRIVER, "v")
