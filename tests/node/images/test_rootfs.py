"""Root file systems of containers."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes.errors import InvalidArgument, NotFound
from runtimes.linux import syscalls
from runtimes.oci.images.store import DiskImageStore

pytestmark = pytest.mark.node

Layer = Callable[..., bytes]
Image = Callable[..., Path]


@pytest.fixture
async def image_id(store: DiskImageStore, image: Image, layer: Layer) -> str:
    content = layer(("dir", ".", "", {"mode": 0o711, "uid": 5, "gid": 6}), ("file", "a", "1"), ("file", "d/b", "2"))
    (record,) = await store.import_archive(image(content))
    return record.id


def spec(name: str) -> cri.ImageSpec:
    return cri.ImageSpec(image=name)


async def test_overlay(store: DiskImageStore, image_id: str, tmp_path: Path) -> None:
    """Containers of one image see its files and each its own changes; the image never changes."""
    one, two = [await store.prepare_rootfs(image_id, tmp_path / name) for name in ("one", "two")]
    assert one == tmp_path / "one" / "merged"
    (one / "a").write_text("changed")
    shutil.rmtree(one / "d")
    assert ((two / "a").read_text(), (two / "d" / "b").read_text()) == ("1", "2")
    record = store.resolve(image_id)
    assert record is not None
    assert (record.rootfs / "a").read_text() == "1"
    info = one.stat()
    assert (info.st_mode & 0o7777, info.st_uid, info.st_gid) == (0o711, 5, 6)
    for name in ("one", "two"):
        await store.remove_rootfs(tmp_path / name)
        assert list((tmp_path / name).iterdir()) == []


async def test_repeatable(store: DiskImageStore, image_id: str, tmp_path: Path) -> None:
    """Preparing what is prepared keeps its changes; removing what is gone, or half of it, is fine."""
    directory = tmp_path / "c"
    merged = await store.prepare_rootfs(image_id, directory)
    (merged / "mine").write_text("x")
    assert (await store.prepare_rootfs(image_id, directory) / "mine").read_text() == "x"
    for _ in range(2):
        await store.remove_rootfs(directory)
    (directory / "upper").mkdir()
    await store.remove_rootfs(directory)
    shutil.rmtree(directory)
    await store.remove_rootfs(directory)


async def test_after_a_crash_of_the_machine(store: DiskImageStore, image_id: str, tmp_path: Path) -> None:
    """A directory whose mount went with the machine's crash can be removed and prepared again."""
    directory = tmp_path / "c"
    merged = await store.prepare_rootfs(image_id, directory)
    (merged / "mine").write_text("x")
    syscalls.umount(merged)
    await store.remove_rootfs(directory)
    assert not (await store.prepare_rootfs(image_id, directory) / "mine").exists()
    await store.remove_rootfs(directory)


async def test_read_only(store: DiskImageStore, image_id: str, tmp_path: Path) -> None:
    """A read-only view shows the image and takes no change."""
    merged = await store.prepare_rootfs(image_id, tmp_path / "v", read_only=True)
    assert await store.prepare_rootfs(image_id, tmp_path / "v", read_only=True) == merged
    assert (merged / "d" / "b").read_text() == "2"
    with pytest.raises(OSError) as failure:
        (merged / "a").write_text("x")
    assert failure.value.errno == errno.EROFS
    await store.remove_rootfs(tmp_path / "v")
    assert not merged.exists()


@pytest.mark.parametrize("name", ["a:b", "a,b", "a\\b", "a b", "\u00fc"])
async def test_odd_paths(open_store: Any, image: Image, layer: Layer, tmp_path: Path, name: str) -> None:
    """A state directory may have any name."""
    store = await open_store(root=tmp_path / name / "store")
    (record,) = await store.import_archive(image(layer(("file", "a", "1"))))
    merged = await store.prepare_rootfs(record.id, tmp_path / name / "c")
    assert (merged / "a").read_text() == "1"
    await store.remove_rootfs(tmp_path / name / "c")


async def test_too_long_paths(store: DiskImageStore, image_id: str, tmp_path: Path) -> None:
    """Paths that do not fit a mount's options are an error that says so, and nothing stays mounted."""
    with pytest.raises(InvalidArgument, match="longer than a mount's options may be"):
        await store.prepare_rootfs(image_id, tmp_path.joinpath(*["x" * 200] * 12))


async def test_unknown_image(store: DiskImageStore, tmp_path: Path) -> None:
    """Without an image there is no root file system, and no directory either."""
    with pytest.raises(NotFound):
        await store.prepare_rootfs("sha256:" + "0" * 64, tmp_path / "c")
    assert not (tmp_path / "c").exists()


async def test_image_removed_under_a_container(
    open_store: Any, image_id: str, tmp_path: Path, leftovers: Callable[[Path], set[str]]
) -> None:
    """A removed image is gone from every list; its containers go on, across a restart; the last one takes the tree along."""
    store = await open_store()
    merged = await store.prepare_rootfs(image_id, tmp_path / "c")
    await store.remove_image(cri.RemoveImageRequest(image=spec(image_id)))
    assert (await store.image_status(cri.ImageStatusRequest(image=spec(image_id)))).HasField("image") is False
    again = await open_store()
    assert (await again.list_images(cri.ListImagesRequest())).images == []
    assert (merged / "d" / "b").read_text() == "2"
    assert len(leftovers(tmp_path / "store")) == 2  # the tree and the note
    await again.remove_rootfs(tmp_path / "c")
    await again.stop()
    assert leftovers(tmp_path / "store") == set()


async def test_lost_tree_comes_back(store: DiskImageStore, image_id: str, tmp_path: Path) -> None:
    """A tree that somebody deleted is made again from the layers."""
    shutil.rmtree(tmp_path / "store" / "unpacked" / image_id[7:])
    merged = await store.prepare_rootfs(image_id, tmp_path / "c")
    assert (merged / "a").read_text() == "1"
    await store.remove_rootfs(tmp_path / "c")
