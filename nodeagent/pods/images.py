"""A container's image, brought to its pod's runtime with the pod's own credentials."""

import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

from lightkube.models.core_v1 import Secret, Volume

from nodeagent.api.errors import ApiError
from nodeagent.api.events import Events
from nodeagent.api.objects import ObjectNotReady
from nodeagent.images.manager import EnsuredImage, ImageRequest, ImageTarget
from nodeagent.podspec.containers import AnyContainer, ContainerKind, field_path
from nodeagent.podspec.pod import AgentPod
from runtimes.registry import Runtime

log = logging.getLogger(__name__)


def volume_images(pods: Iterable[AgentPod]) -> set[str]:
    """The images that pods mount as volumes: garbage collection leaves them alone."""
    volumes = (volume for pod in pods for volume in pod.spec.volumes or ())
    return {volume.image.reference for volume in volumes if volume.image is not None and volume.image.reference}


class SecretSource(Protocol):
    async def get_secret(self, namespace: str, name: str) -> Secret:
        """Raises ApiError, ObjectNotReady."""
        ...


class EnsuresImages(Protocol):
    async def ensure_image(
        self, pod: AgentPod, wanted: ImageRequest, place: ImageTarget, pull_secrets: Sequence[Secret]
    ) -> EnsuredImage:
        """Raises ImageFailure."""
        ...


class PodImages:
    """`steps.images.ImageSource` on the node's image manager."""

    def __init__(self, manager: EnsuresImages, secrets: SecretSource, events: Events) -> None:
        self._manager = manager
        self._secrets = secrets
        self._events = events

    async def ensure(
        self, pod: AgentPod, kind: ContainerKind, container: AnyContainer, runtime: Runtime
    ) -> EnsuredImage:
        """Raises ImageFailure."""
        wanted = ImageRequest(
            image=container.image or "",
            pull_policy=container.imagePullPolicy or "",
            field_path=field_path(kind, container.name),
        )
        place = ImageTarget(service=runtime.images, runtime_handler=runtime.cri_handler)
        return await self._manager.ensure_image(pod, wanted, place, await self._pull_secrets(pod))

    async def ensure_volume(self, pod: AgentPod, volume: Volume, runtime: Runtime) -> EnsuredImage:
        """The image that a volume shows; its events are the pod's. Raises ImageFailure."""
        assert volume.image is not None
        wanted = ImageRequest(image=volume.image.reference or "", pull_policy=volume.image.pullPolicy or "")
        place = ImageTarget(service=runtime.images, runtime_handler=runtime.cri_handler)
        return await self._manager.ensure_image(pod, wanted, place, await self._pull_secrets(pod))

    async def _pull_secrets(self, pod: AgentPod) -> list[Secret]:
        """The pod's pull secrets; one that cannot be had is an event, as the image may not need it."""
        namespace = pod.namespace
        found: list[Secret] = []
        missing: list[str] = []
        for reference in pod.spec.imagePullSecrets or ():
            name = reference.name or ""
            try:
                found.append(await self._secrets.get_secret(namespace, name))
            except (ApiError, ObjectNotReady) as error:
                log.info("pull secret %s/%s: %s", namespace, name, error)
                missing.append(name)
        if missing:
            names = ", ".join(missing)
            self._events.event(
                pod,
                "Warning",
                "FailedToRetrieveImagePullSecret",
                f"Unable to retrieve some image pull secrets ({names}); attempting to pull the image may not succeed.",
            )
        return found
