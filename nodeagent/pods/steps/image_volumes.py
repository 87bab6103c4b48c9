"""The images that a pod mounts as volumes: pulled once for all of its containers that start now."""

import asyncio
from typing import Protocol

from lightkube.models.core_v1 import Volume

from nodeagent.images.manager import EnsuredImage
from nodeagent.podspec.containers import AnyContainer
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.registry import Runtime


class VolumeImages(Protocol):
    async def ensure_volume(self, pod: AgentPod, volume: Volume, runtime: Runtime) -> EnsuredImage:
        """Raises ImageFailure with the waiting reason and message of the containers that mount the volume."""
        ...


class ImageVolumes:
    """One sync's image volumes. Pulls begin at once; `close` ends those that nobody needs any more."""

    def __init__(self, images: VolumeImages, pod: AgentPod, runtime: Runtime) -> None:
        self._pulls = {
            volume.name: asyncio.create_task(images.ensure_volume(pod, volume, runtime))
            for volume in pod.spec.volumes or ()
            if volume.image is not None
        }

    async def of(self, container: AnyContainer) -> dict[str, cri.ImageSpec]:
        """What the container mounts, by the volume's name. Raises ImageFailure."""
        wanted = [mount.name for mount in container.volumeMounts or () if mount.name in self._pulls]
        # shielded: a container that is given up must not take the volume from the others
        return {name: cri.ImageSpec(image=(await asyncio.shield(self._pulls[name])).image_ref) for name in wanted}

    async def close(self) -> None:
        for pull in self._pulls.values():
            pull.cancel()
        await asyncio.gather(*self._pulls.values(), return_exceptions=True)
