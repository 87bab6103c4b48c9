"""The agent's image manager over a real store and a real registry."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import Pod, Secret
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.images.access import PullRecords
from nodeagent.images.gc import Disk, GarbageFailure, GarbagePolicy, ImageGarbage, Store
from nodeagent.images.manager import ImageFailure, ImageManager, ImageRequest, ImageTarget
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.oci.images.registries import Registries, Registry
from runtimes.oci.images.store import DiskImageStore

pytestmark = pytest.mark.node

POD = agent_pod(Pod(metadata=ObjectMeta(name="p", namespace="ns", uid="u")))


class Events:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.seen.append((reason, message))

    def node_event(self, type: str, reason: str, message: str) -> None:
        self.seen.append((reason, message))


def secret(registry: str, login: str, uid: str) -> Secret:
    auths = {registry: {"auth": base64.b64encode(login.encode()).decode()}}
    data = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    return Secret(
        metadata=ObjectMeta(name="s", namespace="ns", uid=uid),
        type="kubernetes.io/dockerconfigjson",
        data={".dockerconfigjson": data},
    )


async def test_private_image(open_store: Any, guarded_registry: Any, demo: tuple[Path, str], tmp_path: Path) -> None:
    """A pod with the right secret gets a private image, another pod without it does not, though the image is there."""
    reference = guarded_registry.push(demo[0], "private/demo:1")
    entry = Registry(prefix=guarded_registry.host, certs_dir=guarded_registry.certs)
    store = await open_store(registries=Registries(entries=(entry,)))
    events = Events()
    manager = ImageManager(events, access=PullRecords(tmp_path / "kubelet"))
    wanted, place = ImageRequest(image=reference), ImageTarget(service=store)
    good, bad = (
        secret(guarded_registry.host, f"alice:{password}", uid) for password, uid in (("s3cret", "1"), ("x", "2"))
    )
    ensured = await manager.ensure_image(POD, wanted, place, [bad, good])
    assert (ensured.image_ref, ensured.image.repo_tags) == (demo[1], [reference])
    assert [reason for reason, _ in events.seen] == ["Pulling", "Pulled"]
    await manager.ensure_image(POD, wanted, place, [good])
    with pytest.raises(ImageFailure) as failure:
        await manager.ensure_image(POD, wanted, place, [bad])
    assert (failure.value.reason, "unauthorized: authentication required" in failure.value.message) == (
        "ErrImagePull",
        True,
    )
    assert failure.value.message.startswith(
        f'rpc error: code = Unavailable desc = failed to pull image "{reference}": '
    )


async def test_missing_image(store: DiskImageStore, registry: Any) -> None:
    """A missing image fails with the registry's answer, then backs off with it."""
    manager = ImageManager(Events())
    wanted = ImageRequest(image=f"{registry.host}/nothing:1")
    reasons = []
    for _ in range(2):
        with pytest.raises(ImageFailure, match="manifest unknown") as failure:
            await manager.ensure_image(POD, wanted, ImageTarget(service=store))
        reasons.append(failure.value.reason)
    assert reasons == ["ErrImagePull", "ImagePullBackOff"]


async def test_garbage(
    store: DiskImageStore,
    image: Callable[..., Path],
    layer: Callable[..., bytes],
    tmp_path: Path,
    leftovers: Callable[[Path], set[str]],
) -> None:
    """Garbage collection really frees the store, and keeps what a container uses and what was imported by hand."""
    (used,) = await store.import_archive(image(layer(("file", "a", "1")), tag="localhost/used:1"), pinned=False)
    (unused,) = await store.import_archive(image(layer(("file", "b", "2")), tag="localhost/unused:1"), pinned=False)
    (pinned,) = await store.import_archive(image(layer(("file", "c", "3")), tag="localhost/pinned:1"))

    class Containers:
        async def list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
            return cri.ListContainersResponse(containers=[cri.Container(image_ref=used.id)])

    garbage = ImageGarbage(
        [Store(images=store, runtimes=(Containers(),))],  # type: ignore[arg-type]
        GarbagePolicy(minimum_age_seconds=0),
        events := Events(),
        disk_of=lambda path: Disk(key=1, capacity_bytes=unused.size_bytes * 10, available_bytes=unused.size_bytes + 1),
    )
    await garbage.collect()
    listed = (await store.list_images(cri.ListImagesRequest())).images
    assert {(i.id, i.pinned) for i in listed} == {(used.id, False), (pinned.id, True)}
    with pytest.raises(GarbageFailure):
        await garbage.collect()
    assert [reason for reason, _ in events.seen] == ["FreeDiskSpaceFailed"]
    await store.unpin("localhost/pinned:1")
    await garbage.delete_unused()
    assert [i.id for i in (await store.list_images(cri.ListImagesRequest())).images] == [used.id]
    await store.stop()
    assert leftovers(tmp_path / "store") == set()
    assert not unused.rootfs.exists()
