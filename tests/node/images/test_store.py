"""What the store says of its images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes.errors import InvalidArgument, NotFound
from runtimes.oci.images.store import DiskImageStore

pytestmark = pytest.mark.node


def spec(name: str) -> cri.ImageSpec:
    return cri.ImageSpec(image=name)


@pytest.mark.parametrize(
    ("user", "uid", "username"),
    [("", None, ""), ("0", 0, ""), ("65534:0", 65534, ""), ("nobody:nogroup", None, "nobody")],
)
async def test_user(store: DiskImageStore, image: Any, layer: Any, user: str, uid: int | None, username: str) -> None:
    """The image's user is a uid where it is a number, else a name: runAsNonRoot is decided by it."""
    await store.import_archive(image(layer(("file", "a")), config={"User": user}))
    found = (await store.image_status(cri.ImageStatusRequest(image=spec("localhost/test:1")))).image
    assert (found.uid.value if found.HasField("uid") else None, found.username) == (uid, username)


async def test_verbose_and_list(store: DiskImageStore, demo: tuple[Path, str], image: Any, layer: Any) -> None:
    """A verbose status holds the whole configuration; the list can be asked for one image."""
    await store.import_archive(demo[0])
    await store.import_archive(image(layer(("file", "a"))))
    answer = await store.image_status(cri.ImageStatusRequest(image=spec("localhost/demo:1"), verbose=True))
    assert json.loads(answer.info["info"])["imageSpec"]["config"]["Cmd"] == ["/bin/sh"]
    assert len((await store.list_images(cri.ListImagesRequest())).images) == 2
    only = cri.ListImagesRequest(filter=cri.ImageFilter(image=spec("localhost/demo:1")))
    assert [i.id for i in (await store.list_images(only)).images] == [demo[1]]
    only.filter.image.image = "localhost/absent:1"
    assert list((await store.list_images(only)).images) == []


async def test_file_system(store: DiskImageStore, demo: tuple[Path, str], tmp_path: Path) -> None:
    """The store's use of the disk is told with the place where it lies, and falls to nothing with the last image."""

    async def usage() -> tuple[str, int, int]:
        (found,) = (await store.image_fs_info(cri.ImageFsInfoRequest())).image_filesystems
        assert found.timestamp > 0
        return found.fs_id.mountpoint, found.used_bytes.value, found.inodes_used.value

    assert await usage() == (str(tmp_path / "store"), 0, 0)
    (record,) = await store.import_archive(demo[0])
    place, used_bytes, inodes = await usage()
    assert used_bytes >= record.size_bytes + 2_000_000
    assert inodes == len(list(record.rootfs.rglob("*"))) + 3  # manifest, configuration, layer
    await store.remove_image(cri.RemoveImageRequest(image=spec(demo[1])))
    assert await usage() == (place, 0, 0)


async def test_pinned(open_store: Any, demo: tuple[Path, str]) -> None:
    """An imported image is pinned for every CRI client, in every process and after a restart, until it is unpinned; and
    RemoveImage removes it all the same."""
    store = await open_store()

    async def pinned() -> list[tuple[bool, list[str]]]:
        beside: DiskImageStore = await open_store()
        answers = [await one.list_images(cri.ListImagesRequest()) for one in (store, beside)]
        assert answers[0] == answers[1]
        return [(found.pinned, list(found.repo_tags)) for found in answers[0].images]

    await store.import_archive(demo[0])
    assert await pinned() == [(True, ["localhost/demo:1"])]
    await store.import_archive(demo[0], tag="localhost/other:1", pinned=False)
    assert await pinned() == [(True, ["localhost/demo:1", "localhost/other:1"])]
    await store.import_archive(demo[0], pinned=False)
    assert await pinned() == [(False, ["localhost/demo:1", "localhost/other:1"])]
    assert (await store.pin(demo[1])).pins == (demo[1],)
    assert (await store.pin("localhost/other:1")).pins == (demo[1], "localhost/other:1")
    assert (await store.image_status(cri.ImageStatusRequest(image=spec("localhost/demo:1")))).image.pinned
    assert (await store.unpin("localhost/demo:1")).pins == ()
    await store.pin("localhost/demo:1")
    await store.remove_image(cri.RemoveImageRequest(image=spec("localhost/demo:1")))
    assert await pinned() == []
    with pytest.raises(NotFound, match="no image 'localhost/demo:1'"):
        await store.pin("localhost/demo:1")


async def test_import_under_another_name(
    store: DiskImageStore, demo: tuple[Path, str], image: Callable[..., Path], layer: Any
) -> None:
    """A given tag replaces the archive's own; a bad one is refused before anything is read."""
    (record,) = await store.import_archive(demo[0], tag="mine")
    assert record.tags == ("docker.io/library/mine:latest",)
    assert store.resolve("localhost/demo:1") is None
    with pytest.raises(InvalidArgument, match="couldn't parse image name"):
        await store.import_archive(demo[0], tag="Not Good")
