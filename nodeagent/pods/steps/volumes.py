"""The pod's volumes, mounted before a container of the pod is created, unmounted after the last has gone."""

from collections.abc import Mapping

from nodeagent.pods.slot import Slot
from nodeagent.pods.steps.contract import Work
from nodeagent.pods.steps.engine import StepError
from nodeagent.pods.teardown import Teardown
from nodeagent.volumes.contract import MountedVolume
from nodeagent.volumes.manager import MountFailed, VolumeManager


class Volumes:
    name = "volumes"
    deadline_seconds = None  # the volume manager gives up by itself
    runs_processes = False

    def __init__(self, volumes: VolumeManager) -> None:
        self._volumes = volumes

    def provides(self, work: Work) -> tuple[Slot[Mapping[str, MountedVolume]], ...]:
        return (work.mounts,)

    async def run(self, work: Work) -> None:
        try:
            work.mounts.set(await self._volumes.mount(work.pod))
        except MountFailed as error:
            raise StepError(str(error), event_reason="FailedMount" if error.event_worthy else "") from error

    async def undo(self, teardown: Teardown) -> None:
        await self._volumes.unmount(teardown.uid)
