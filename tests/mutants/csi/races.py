"""Faults of calls that meet."""

from collections import Counter
from pathlib import Path
from typing import Any

from typing_extensions import override

from csi import errors
from csi.driver import publication
from csi.driver.records import NodeVolume
from runtimes.linux import mounts
from tests.mutants.csi.driver import Mutant


class RacingPublishIsInternal(Mutant):
    """Of calls for the same volume at the same time all but one are INTERNAL instead of ABORTED or OK."""

    caught_by = "N29"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.under_way = Counter[str]()

    async def node_publish_volume(self, request: Any) -> Any:
        self.under_way[request.target_path] += 1
        try:
            if self.under_way[request.target_path] > 1:
                raise errors.DriverFault("mount point is busy")
            return await self.healthy.node_publish_volume(request)
        finally:
            self.under_way[request.target_path] -= 1


class RacingPublishMountsTwice(Mutant):
    """Whether it is mounted is looked at without a lock: calls at the same time mount one upon another."""

    caught_by = "N29"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.under_way = Counter[str]()

    async def node_publish_volume(self, request: Any) -> Any:
        path = Path(request.target_path)
        self.under_way[request.target_path] += 1
        try:
            alone = self.under_way[request.target_path] == 1
            answer = await self.healthy.node_publish_volume(request)
            if not alone:
                mounts.bind_path(path, path)
            return answer
        finally:
            self.under_way[request.target_path] -= 1


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
        for target in self.store.node.of(request.volume_id).targets:
            mounts.unmount_all(Path(target))
        return answer
