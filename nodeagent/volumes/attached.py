"""Volumes that a controller attaches to the node, as the Node's status has them. Source: docs/facts/storage.md 1.1."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from lightkube.models.core_v1 import AttachedVolume, Node


class NodeInformed(Protocol):
    """The own Node, by a watch (`api.informer.Informer`)."""

    def items(self) -> list[Node]: ...

    def subscribe(self, callback: Callable[[object, object, object], None]) -> Callable[[], None]: ...


async def reported(nodes: NodeInformed, volume_id: str) -> AttachedVolume:
    """Wait until the Node's status has the volume, for ever if need be."""
    changed = asyncio.Event()
    undo = nodes.subscribe(lambda *_: changed.set())
    try:
        while (found := _found(nodes, volume_id)) is None:
            changed.clear()
            await changed.wait()
        return found
    finally:
        undo()


def _found(nodes: NodeInformed, volume_id: str) -> AttachedVolume | None:
    statuses = (node.status for node in nodes.items())
    attached = (each for status in statuses if status is not None for each in status.volumesAttached or ())
    return next((each for each in attached if each.name == volume_id), None)
