"""Faults of drivers that end and come again."""

import secrets
from typing import Any

from typing_extensions import override

from csi import errors
from csi.driver.records import NodeVolume
from tests.mutants.csi.driver import Mutant


class StateIsLost(Mutant):
    """What was staged and published is known in memory alone: a driver that was restarted does not."""

    caught_by = "N30"
    also = ("N30B", "X16")

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        for each in self.store.node.all():
            self.store.node.keep(NodeVolume(volume_id=each.volume_id))


class NodeIdOfTheProcess(Mutant):
    """The node's id is another after each restart."""

    caught_by = "N30B"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.suffix = secrets.token_hex(4)

    async def node_get_info(self, request: Any) -> Any:
        answer = await self.healthy.node_get_info(request)
        answer.node_id += self.suffix
        return answer


class NamesAreForgotten(Mutant):
    """Which names volumes were asked for by is known in memory alone: asked again after a restart, it makes another."""

    caught_by = "X16"
    end_seconds = 1.0

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.suffix = secrets.token_hex(4)

    async def create_volume(self, request: Any) -> Any:
        if request.name:
            request.name += self.suffix
        return await self.healthy.create_volume(request)


class StartingIsInternal(Mutant):
    """While the driver starts, NodeGetInfo is INTERNAL instead of UNAVAILABLE."""

    caught_by = "I6"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.starting = 3

    async def node_get_info(self, request: Any) -> Any:
        self.starting -= 1
        if self.settings.state_dir.joinpath("again").exists() and self.starting > 0:
            raise errors.DriverFault("it is nil")
        self.settings.state_dir.joinpath("again").touch()
        return await self.healthy.node_get_info(request)
