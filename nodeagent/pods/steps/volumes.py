"""The pod's volumes, mounted before a container of the pod is created, unmounted after the last has gone."""

from typing import ClassVar

from typing_extensions import override

from nodeagent.pods.steps.contract import SlotName, Step, StepError, Work
from nodeagent.pods.teardown import Teardown
from nodeagent.volumes.manager import MountFailed, VolumeManager


class Volumes(Step):
    name: ClassVar[str] = "volumes"
    provides: ClassVar[tuple[SlotName, ...]] = ("mounts",)

    def __init__(self, volumes: VolumeManager) -> None:
        self._volumes = volumes

    @override
    async def run(self, work: Work) -> None:
        try:
            work.mounts.set(await self._volumes.mount(work.pod))
        except MountFailed as error:
            raise StepError(str(error), event_reason="FailedMount" if error.event_worthy else "") from error

    @override
    async def undo(self, teardown: Teardown) -> None:
        await self._volumes.unmount(teardown.uid)
