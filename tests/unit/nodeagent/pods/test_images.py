"""nodeagent.pods.images: a container's image is asked for with what its pod says, and its pod's credentials."""

from collections.abc import Sequence
from typing import Any

import pytest
from lightkube.models.core_v1 import Secret
from lightkube.models.meta_v1 import ObjectMeta
from recorded_runtime import RecordedRuntime, runtime_of

from nodeagent.api.errors import ApiError
from nodeagent.api.objects import ObjectNotReady
from nodeagent.images.manager import EnsuredImage, ImageRequest, ImageTarget
from nodeagent.pods.images import PodImages, volume_images
from nodeagent.podspec.containers import ContainerKind
from proto import cri_pb2 as cri

VOLUMES = [{"name": "v", "image": {"reference": "tools:1", "pullPolicy": "Always"}}, {"name": "w", "emptyDir": {}}]


class World:
    """The image manager, the secrets of the API and the events."""

    def __init__(self) -> None:
        self.asked: list[tuple[ImageRequest, str, list[str]]] = []
        self.events: list[str] = []
        self.faults: dict[str, Exception] = {}

    async def ensure_image(
        self, pod: Any, wanted: ImageRequest, place: ImageTarget, pull_secrets: Sequence[Secret] = ()
    ) -> EnsuredImage:
        names = [secret.metadata.name or "" for secret in pull_secrets if secret.metadata is not None]
        self.asked.append((wanted, place.runtime_handler, names))
        return EnsuredImage(image_ref=f"ref of {wanted.image}", image=cri.Image())

    async def get_secret(self, namespace: str, name: str) -> Secret:
        if (fault := self.faults.get(name)) is not None:
            raise fault
        return Secret(metadata=ObjectMeta(namespace=namespace, name=f"{namespace}/{name}"))

    def event(self, pod: Any, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.events.append(f"{type} {reason}: {message}")


RUNTIME = runtime_of(RecordedRuntime(), "crun")


@pytest.fixture
def world() -> World:
    return World()


async def test_an_image_is_asked_for_as_the_container_names_it(kit: Any, world: World) -> None:
    """With its pull policy, the place of its events, the pod's runtime and the pod's secrets in their order."""
    secrets = [{"name": "one"}, {"name": "two"}]
    pod = kit.pod([{"name": "c", "image": "app:1", "imagePullPolicy": "Always"}], imagePullSecrets=secrets)
    found = await PodImages(world, world, world).ensure(pod, ContainerKind.REGULAR, pod.spec.containers[0], RUNTIME)
    assert found.image_ref == "ref of app:1"
    wanted = ImageRequest(image="app:1", pull_policy="Always", field_path="spec.containers{c}")
    assert world.asked == [(wanted, "crun", ["ns/one", "ns/two"])]
    assert world.events == []


async def test_a_volumes_image_has_its_events_at_the_pod(kit: Any, world: World) -> None:
    """It belongs to no container."""
    pod = kit.pod(["c"], volumes=VOLUMES)
    await PodImages(world, world, world).ensure_volume(pod, pod.spec.volumes[0], RUNTIME)
    assert world.asked == [(ImageRequest(image="tools:1", pull_policy="Always"), "crun", [])]


async def test_a_secret_that_cannot_be_had_is_told_and_does_without(kit: Any, world: World) -> None:
    """The image may not need it: one event names all that are missing, the others are used."""
    world.faults = {"one": ApiError(404, "NotFound", "no"), "three": ObjectNotReady("not yet")}
    secrets = [{"name": "one"}, {"name": "two"}, {"name": "three"}]
    pod = kit.pod(["c"], imagePullSecrets=secrets)
    await PodImages(world, world, world).ensure(pod, ContainerKind.REGULAR, pod.spec.containers[0], RUNTIME)
    assert [names for _, _, names in world.asked] == [["ns/two"]]
    assert world.events == [
        "Warning FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (one, three); "
        "attempting to pull the image may not succeed."
    ]


def test_garbage_collection_knows_the_volumes_images(kit: Any) -> None:
    """Of all pods, each once."""
    pods = [kit.pod(volumes=VOLUMES), kit.pod(volumes=VOLUMES), kit.pod()]
    assert volume_images(pods) == {"tools:1"}
