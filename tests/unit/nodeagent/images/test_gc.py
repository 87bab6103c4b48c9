from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from nodeagent.images.gc import Disk, GarbageFailure, GarbagePolicy, ImageGarbage, Store
from proto import cri_pb2 as cri
from runtimes.errors import Internal, InvalidArgument, RuntimeFault


class NodeEvents:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def node_event(self, type: str, reason: str, message: str) -> None:
        self.seen.append((type, reason, message))


class Images:
    """A store on a disk of `capacity` bytes, on which only its images lie."""

    def __init__(self, *images: cri.Image, mountpoint: str = "/images") -> None:
        self.images = {image.id: image for image in images}
        self.removed: list[str] = []
        self.stuck: set[str] = set()
        self.mountpoint = mountpoint

    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
        return cri.ListImagesResponse(images=self.images.values())

    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        if " " in request.image.image:
            raise InvalidArgument("no name")
        found = [i for i in self.images.values() if request.image.image in (i.id, *i.repo_tags)]
        return cri.ImageStatusResponse(image=found[0]) if found else cri.ImageStatusResponse()

    async def remove_image(self, request: cri.RemoveImageRequest) -> cri.RemoveImageResponse:
        if request.image.image in self.stuck:
            raise Internal("stuck")
        del self.images[request.image.image]
        self.removed.append(request.image.image)
        return cri.RemoveImageResponse()

    async def image_fs_info(self, request: cri.ImageFsInfoRequest) -> cri.ImageFsInfoResponse:
        usage = cri.FilesystemUsage(fs_id=cri.FilesystemIdentifier(mountpoint=self.mountpoint))
        return cri.ImageFsInfoResponse(image_filesystems=[usage])


class Containers:
    def __init__(self) -> None:
        self.refs: list[str] = []

    async def list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
        return cri.ListContainersResponse(containers=[cri.Container(image_ref=ref) for ref in self.refs])


def image(name: str, size: int = 10, pinned: bool = False) -> cri.Image:
    return cri.Image(id=name, size=size, pinned=pinned, repo_tags=[f"{name}:1"])


class Node:
    """Two disks at most, of 100 bytes each: /images and /other."""

    def __init__(self, clock: Any, *stores: Images, **policy: Any) -> None:
        self.clock, self.stores, self.containers, self.events = clock, stores, Containers(), NodeEvents()
        self.volumes: list[str] = []
        self.capacity = 100
        self.collected: Counter[str] = Counter()
        self.known: list[set[str]] = []
        self.garbage = ImageGarbage(
            [Store(images=store, runtimes=(self.containers,)) for store in stores],  # type: ignore[arg-type]
            GarbagePolicy(**policy),
            self.events,
            image_volumes=lambda: self.volumes,
            known=self.remember,
            disk_of=self.disk,
            clock=clock,
            removed=lambda reason: self.collected.update([reason]),
        )

    async def remember(self, images: Any, looked_at: datetime) -> None:
        self.known.append({image.id for image in images})

    def disk(self, path: Path) -> Disk:
        used = sum(i.size for store in self.stores if store.mountpoint == str(path) for i in store.images.values())
        return Disk(key=str(path), capacity_bytes=self.capacity, available_bytes=self.capacity - used)

    async def at(self, seconds: float, call: Callable[[], Any]) -> Any:
        self.clock.now = 1000 + seconds
        return await call()


async def test_below_the_threshold(clock: Any) -> None:
    """Nothing goes while the disk is emptier than the high threshold."""
    store = Images(image("a", 84))
    node = Node(clock, store)
    await node.at(0, node.garbage.collect)
    await node.at(1000, node.garbage.collect)
    assert store.removed == []
    assert node.known[-1] == {"a"}


async def test_order(clock: Any) -> None:
    """The least recently used goes first, then the one known longest; only as many as bring the disk to the low threshold."""
    store = Images(image("used-late"), image("used-early"), image("never", 10))
    node = Node(clock, store)
    node.containers.refs = ["used-late", "used-early"]
    await node.at(0, node.garbage.collect)
    node.containers.refs = ["used-late"]
    await node.at(100, node.garbage.collect)
    store.images["new"] = image("new", 20)
    await node.at(200, node.garbage.collect)
    node.containers.refs = []
    store.images |= {"x": image("x", 0), "y": image("y", 40)}
    assert (await node.at(400, node.garbage.collect)) is None
    assert store.removed == ["never"]
    assert node.collected == {"space": 1}
    store.images["z"] = image("z", 10)
    await node.at(401, node.garbage.collect)
    assert store.removed == ["never", "new"]


async def test_kept(clock: Any) -> None:
    """Images in use by containers, dead ones too, image volumes, pinned and young ones stay, even on a full disk."""
    store = Images(image("used"), image("volume"), image("pinned", pinned=True), image("tagged"))
    node = Node(clock, store)
    node.containers.refs = ["used", "tagged:1"]
    node.volumes = ["no name", "volume:1"]
    await node.at(0, node.garbage.collect)
    store.images["young"] = image("young", 60)
    message = (
        "Insufficient free disk space on the node's image filesystem (100% of 100 B used). Failed to free sufficient "
        "space by deleting unused images (freed 0 bytes). Investigate disk usage, as it could be used by active images, "
        "logs, volumes, or other data."
    )
    with pytest.raises(GarbageFailure) as failure:
        await node.at(1000, node.garbage.collect)
    assert str(failure.value) == message
    assert node.events.seen == [("Warning", "FreeDiskSpaceFailed", message)]
    assert store.removed == []
    await node.at(1120, node.garbage.collect)
    assert store.removed == ["young"]


async def test_maximum_age(clock: Any) -> None:
    """Unused for longer than the maximum age goes, once the agent has been up that long; never used counts as old."""
    store = Images(image("once"), image("never"), image("used"))
    node = Node(clock, store, maximum_age_seconds=500, high_percent=100, low_percent=80)
    node.containers.refs = ["once", "used"]
    await node.at(300, node.garbage.collect)
    node.containers.refs = ["used"]
    await node.at(500, node.garbage.collect)
    assert store.removed == []
    await node.at(501, node.garbage.collect)
    assert store.removed == ["never"]
    await node.at(801, node.garbage.collect)
    assert store.removed == ["never", "once"]
    assert node.collected == {"age": 2}


async def test_pinned(clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Pinned images stay whatever makes others go: a full disk, the maximum age, eviction; also those pinned while a pass
    goes on. The log says how much of a full disk they are."""
    store = Images(image("pinned", 50, pinned=True), image("a", 20), image("b", 30))
    node = Node(clock, store, maximum_age_seconds=500)
    removing = store.remove_image

    async def remove_image(request: cri.RemoveImageRequest) -> cri.RemoveImageResponse:
        store.images["b"].pinned = True
        return await removing(request)

    store.remove_image = remove_image  # type: ignore[method-assign]
    with pytest.raises(GarbageFailure, match="freed 0 bytes"):
        await node.at(0, node.garbage.collect)
    assert await node.at(501, node.garbage.collect) is None
    assert await node.at(502, node.garbage.delete_unused) == 0
    assert store.removed == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        "1 pinned images (50 B) are no garbage: see `nodeagent image list`, `unpin` and `rm`"
    ]


async def test_disks_are_apart(clock: Any) -> None:
    """A full disk is emptied from the stores that lie on it."""
    full, sharing, empty = Images(image("a", 50)), Images(image("b", 45)), Images(image("c", 10), mountpoint="/other")
    node = Node(clock, full, sharing, empty)
    with pytest.raises(GarbageFailure):
        await node.at(0, node.garbage.collect)
    await node.at(500, node.garbage.collect)
    assert (full.removed, sharing.removed, empty.removed) == (["a"], [], [])


async def test_stuck_image(clock: Any) -> None:
    """An image that cannot be removed does not save the others."""
    store = Images(image("a", 45), image("b", 45))
    store.stuck = {"a"}
    node = Node(clock, store)
    with pytest.raises(GarbageFailure):
        await node.at(0, node.garbage.collect)
    await node.at(500, node.garbage.collect)
    assert store.removed == ["b"]


async def test_no_capacity(clock: Any) -> None:
    """A disk of no size is reported."""
    node = Node(clock, Images())
    node.capacity = 0
    with pytest.raises(GarbageFailure):
        await node.garbage.collect()
    assert node.events.seen == [("Warning", "InvalidDiskCapacity", "invalid capacity 0 on image filesystem")]


async def test_delete_unused(clock: Any) -> None:
    """Eviction takes everything that is unused and old enough, whatever the thresholds say."""
    store = Images(image("a", 1), image("b", 2), image("used", 3))
    node = Node(clock, store)
    node.containers.refs = ["used"]
    assert await node.at(0, node.garbage.delete_unused) == 0
    assert await node.at(120, node.garbage.delete_unused) == 3
    assert store.removed == ["a", "b"]


async def test_second_failure_is_reported(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One failed pass may be chance; from the second in a row on it is an event of the node."""
    node = Node(clock, Images())
    results: list[RuntimeFault | None] = [Internal("one"), Internal("two"), None, Internal("three")]

    async def collect() -> None:
        if not results:
            raise KeyboardInterrupt
        result = results.pop(0)
        if result is not None:
            raise result

    async def sleep(seconds: float) -> None:
        assert seconds == 300

    monkeypatch.setattr(node.garbage, "collect", collect)
    monkeypatch.setattr("nodeagent.images.gc.asyncio.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        await node.garbage.run()
    assert node.events.seen == [("Warning", "ImageGCFailed", "two")]


async def test_disabled(clock: Any) -> None:
    """High threshold 100 and no maximum age: nothing is ever collected."""
    node = Node(clock, Images(image("a", 100)), high_percent=100, low_percent=80)
    await node.garbage.run()
    assert node.known == []
