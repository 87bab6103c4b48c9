"""The images of the containers that are to start, and of the volumes that they mount: pulled side by side."""

from typing import ClassVar, Protocol

from typing_extensions import override

from nodeagent.images.manager import EnsuredImage, ImageFailure
from nodeagent.pods.cancellation import run_all
from nodeagent.pods.rules.model import StartContainer
from nodeagent.pods.steps.contract import ContainerImages, SlotName, StartError, Step, SyncPass
from nodeagent.pods.steps.image_volumes import ImageVolumes, VolumeImages
from nodeagent.podspec.containers import AnyContainer, ContainerKind, find_container
from nodeagent.podspec.pod import AgentPod
from runtimes.registry import Runtime

SHOW_BACKOFF_SECONDS = 1.0


class ImageSource(VolumeImages, Protocol):
    """Who brings images to a runtime's store."""

    async def ensure(
        self, pod: AgentPod, kind: ContainerKind, container: AnyContainer, runtime: Runtime
    ) -> EnsuredImage:
        """Raises ImageFailure with the waiting reason and message."""
        ...


class ImagesStep(Step):
    """Bounds itself: pulls do."""

    name: ClassVar[str] = "images"
    provides: ClassVar[tuple[SlotName, ...]] = ("images",)

    def __init__(self, images: ImageSource) -> None:
        self._images = images

    @override
    async def run(self, work: SyncPass) -> None:
        if not work.plan.start:
            return
        volumes = ImageVolumes(self._images, work.pod, work.runtime)
        try:
            await run_all(self._bring(work, start, volumes) for start in work.plan.start)
        finally:
            await volumes.close()

    async def _bring(self, work: SyncPass, start: StartContainer, volumes: ImageVolumes) -> None:
        slot = work.images[start.name]
        found = find_container(work.pod, start.name)
        if found is None:
            slot.fail()
            return
        kind, container = found
        try:
            of_volumes = await volumes.of(container)
            image = await self._images.ensure(work.pod, kind, container, work.runtime)
        except ImageFailure as failure:
            slot.fail(
                StartError(
                    failure.reason, failure.message, event_text=failure.reason, retry_seconds=_retry_seconds(failure)
                )
            )
        else:
            slot.set(ContainerImages(image, of_volumes))
        finally:
            slot.fail()  # at once, if it was not set


def _retry_seconds(failure: ImageFailure) -> float | None:
    """A failed pull is looked at again at once, so that the status tells of the back-off; then when that is over."""
    return SHOW_BACKOFF_SECONDS if failure.reason == "ErrImagePull" else failure.retry_after_seconds
