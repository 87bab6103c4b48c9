"""What the store says of its images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes.errors import InvalidArgument
from runtimes.oci.images.store import DiskImageStore, StoreSettings

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


async def test_pinned(tmp_path: Path, demo: tuple[Path, str]) -> None:
    """Images configured as pinned are marked so."""
    store = DiskImageStore(tmp_path / "store", StoreSettings(pinned=("localhost/demo:1",)))
    await store.start()
    await store.import_archive(demo[0])
    await store.import_archive(demo[0], tag="localhost/other:1")
    (found,) = (await store.list_images(cri.ListImagesRequest())).images
    assert (found.pinned, list(found.repo_tags)) == (True, ["localhost/demo:1", "localhost/other:1"])


async def test_import_under_another_name(
    store: DiskImageStore, demo: tuple[Path, str], image: Callable[..., Path], layer: Any
) -> None:
    """A given tag replaces the archive's own; a bad one is refused before anything is read."""
    (record,) = await store.import_archive(demo[0], tag="mine")
    assert record.tags == ("docker.io/library/mine:latest",)
    assert store.resolve("localhost/demo:1") is None
    with pytest.raises(InvalidArgument, match="couldn't parse image name"):
        await store.import_archive(demo[0], tag="Not Good")
