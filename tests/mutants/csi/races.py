"""Faults of calls that meet."""

import asyncio
from pathlib import Path
from typing import Any

from typing_extensions import override

from csi import errors
from csi.driver import publication
from csi.driver.records import NodeVolume
from runtimes.linux import mounts
from tests.mutants.csi.driver import Meeting, Mutant

_LONG_SECONDS = 2.0  # its caller does not wait as long, and the process does when it ends


class RacingPublishIsInternal(Mutant):
    """Of calls for the same volume at the same time all but one are INTERNAL instead of ABORTED or OK."""

    caught_by = "N29"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.meeting = Meeting()

    async def node_publish_volume(self, request: Any) -> Any:
        async with self.meeting.of(request.target_path) as first:
            if not first:
                raise errors.DriverFault("mount point is busy")
            return await self.healthy.node_publish_volume(request)


class RacingPublishMountsTwice(Mutant):
    """Whether it is mounted is looked at without a lock: calls at the same time mount one upon another."""

    caught_by = "N29"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.meeting = Meeting()

    async def node_publish_volume(self, request: Any) -> Any:
        path = Path(request.target_path)
        async with self.meeting.of(request.target_path) as first:
            answer = await self.healthy.node_publish_volume(request)
            if not first:
                mounts.bind_path(path, path)
            return answer


class LockIsKept(Mutant):
    """A refused NodePublishVolume leaves its lock: from then on the volume is ABORTED for ever."""

    caught_by = "N10"
    also = ("N14", "N18")
    asked = {"patience_seconds": 0.5}

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.locked: set[str] = set()

    async def node_publish_volume(self, request: Any) -> Any:
        try:
            return await self.healthy.node_publish_volume(request)
        except errors.CSIError:
            self.locked.add(request.volume_id)
            raise

    async def node_unstage_volume(self, request: Any) -> Any:
        if request.volume_id in self.locked:
            raise errors.Pending("an operation is under way for the volume")
        return await self.healthy.node_unstage_volume(request)


class WorkIsNeverDone(Mutant):
    """NodePublishVolume knows no deadline: where its caller has left it goes on for ever, and who asks again is ABORTED."""

    caught_by = "N31"
    asked = {"patience_seconds": 0.5}

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.begun = False

    async def node_publish_volume(self, _request: Any) -> Any:
        if not self.begun:
            self.begun = True
            await asyncio.sleep(_LONG_SECONDS)
        raise errors.Pending("an operation is under way for the volume")


class LastWriteWins(Mutant):
    """What is known of a volume's targets is written without a lock: of targets that come at the same time one is remembered."""

    caught_by = "N17B"

    async def node_publish_volume(self, request: Any) -> Any:
        answer = await self.healthy.node_publish_volume(request)
        known = self.store.node.of(request.volume_id)
        if len(publication.live_targets(known)) > 1:
            self.store.node.keep(
                NodeVolume(
                    volume_id=known.volume_id,
                    staging_path=known.staging_path,
                    staged=known.staged,
                    targets={request.target_path: known.targets[request.target_path]},
                )
            )
        return answer


class ComingPodLosesToGoingPod(Mutant):
    """NodeUnpublishVolume unmounts what was published meanwhile too: only one pod at a time was thought of."""

    caught_by = "X2"
    also = ("N17",)

    async def node_unpublish_volume(self, request: Any) -> Any:
        answer = await self.healthy.node_unpublish_volume(request)
        for _ in range(100):  # it is slow enough for the other to come
            if self.store.node.of(request.volume_id).targets:
                break
            await asyncio.sleep(0.02)
        for target in self.store.node.of(request.volume_id).targets:
            mounts.unmount_all(Path(target))
        return answer
