"""The pod's volumes, mounted before a container of the pod is created, unmounted after the last has gone."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from typing_extensions import override

from nodeagent.pods.steps.contract import SlotName, Step, StepError, SyncPass
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import MountedVolume
from nodeagent.volumes.manager import MountFailed

_FULL = "Node has reached its volume attachment limit, rejecting pod."


class PodVolumes(Protocol):
    """Who mounts the volumes of pods."""

    async def mount(self, pod: AgentPod) -> Mapping[str, MountedVolume]:
        """All that the pod's containers use, by name. Bounds itself. Raises MountFailed."""
        ...

    async def unmount(self, uid: str) -> None:
        """Nothing there is fine. Raises ExceptionGroup of what could not be taken down; the rest is."""
        ...


class VolumesStep(Step):
    name: ClassVar[str] = "volumes"
    provides: ClassVar[tuple[SlotName, ...]] = ("mounts",)

    def __init__(self, volumes: PodVolumes) -> None:
        self._volumes = volumes

    @override
    async def run(self, work: SyncPass) -> None:
        try:
            work.mounts.set(await self._volumes.mount(work.pod))
        except MountFailed as error:
            if error.node_full:
                raise StepError(f"{_FULL} {error.node_full}", rejection="VolumeAttachmentLimitExceeded") from error
            raise StepError(str(error), event_reason="FailedMount" if error.event_worthy else "") from error

    @override
    async def undo(self, teardown: Teardown) -> None:
        await self._volumes.unmount(teardown.uid)
