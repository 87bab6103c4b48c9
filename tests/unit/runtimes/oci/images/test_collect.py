import fcntl
from pathlib import Path

import pytest

from runtimes.linux.removal import remove_tree
from runtimes.oci.images.collect import collect
from runtimes.oci.images.contract import ImageConfig, ImageRecord
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.records import Records
from runtimes.oci.images.rootfs import Holds

IMAGE = "sha256:" + "a" * 64
MANIFEST = "sha256:" + "0" * 64
LAYER = "sha256:" + "1" * 64


@pytest.fixture
def records(layout: Layout) -> Records:
    records = Records(layout)
    records.add(
        ImageRecord(
            id=IMAGE,
            manifest_digest=MANIFEST,
            tags=(),
            digests=(),
            layers=(LAYER,),
            size_bytes=0,
            unpacked_bytes=0,
            unpacked_inodes=0,
            config=ImageConfig(),
            rootfs=layout.rootfs(IMAGE),
        )
    )
    for digest in (IMAGE, MANIFEST, LAYER):
        layout.blob(digest).write_bytes(b"")
    layout.rootfs(IMAGE).mkdir(parents=True)
    return records


def everything(layout: Layout) -> set[str]:
    return {
        str(path.relative_to(layout.root))
        for folder in (layout.blobs, layout.unpacked, layout.tmp)
        for path in folder.glob("**/*")
        if path.name not in ("sha256", "sha512", "rootfs") and not path.name.endswith(".json")
    }


async def sweep(layout: Layout, records: Records, holds: Holds) -> None:
    for path in collect(layout, records, holds) or ():
        remove_tree(path)


KEPT = {f"unpacked/{'a' * 64}", *(f"blobs/sha256/{x * 64}" for x in "a01")}


async def test_only_garbage_goes(layout: Layout, records: Records) -> None:
    """What a record names stays; what a killed pull left goes: blobs, trees, temporary files and folders."""
    layout.blob("sha256:" + "f" * 64).write_bytes(b"orphan")
    layout.blob("sha512:" + "f" * 128).write_bytes(b"orphan")
    layout.rootfs("sha256:" + "e" * 64).mkdir(parents=True)
    (layout.work_folder() / "half").write_text("made")
    (layout.tmp / "file").write_text("x")
    await sweep(layout, records, Holds(layout))
    assert everything(layout) == KEPT


async def test_nothing_goes_while_somebody_works(layout: Layout, records: Records) -> None:
    """A pull in any process keeps everything in place."""
    layout.blob("sha256:" + "f" * 64).write_bytes(b"just fetched")
    with layout.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert collect(layout, records, Holds(layout)) is None
    assert everything(layout) == {*KEPT, f"blobs/sha256/{'f' * 64}"}


async def test_tree_of_a_removed_image_stays_while_held(layout: Layout, records: Records, tmp_path: Path) -> None:
    """A tree that a container's directory is noted for, or that somebody holds, outlives its image; then it goes."""
    directory = tmp_path / "container"
    directory.mkdir()
    holds = Holds(layout)
    holds.note(IMAGE, directory)
    holds.note(IMAGE, directory)
    holds.add(IMAGE, "somebody")
    records.remove(IMAGE)
    tree = {f"unpacked/{'a' * 64}"}
    await sweep(layout, records, holds)
    assert everything(layout) == tree
    assert (holds.erase(directory), holds.erase(directory)) == (True, False)
    await sweep(layout, records, holds)
    assert everything(layout) == tree
    assert [holds.discard(IMAGE, x) for x in ("nobody", "somebody", "somebody")] == [False, True, False]
    await sweep(layout, records, holds)
    assert everything(layout) == set()


async def test_notes_survive_the_process_but_not_the_directory(
    layout: Layout, records: Records, tmp_path: Path
) -> None:
    """Another process sees the note; a note whose directory is gone counts no more."""
    directory = tmp_path / "container"
    directory.mkdir()
    Holds(layout).note(IMAGE, directory)
    records.remove(IMAGE)
    await sweep(layout, records, Holds(layout))
    assert everything(layout) == {f"unpacked/{'a' * 64}"}
    directory.rmdir()
    await sweep(layout, records, Holds(layout))
    assert everything(layout) == set()
    assert list(layout.holds.iterdir()) == []


async def test_incomplete_image_is_dropped(layout: Layout, records: Records) -> None:
    """An image that lost both its tree and a blob is forgotten; with one of the two it is still good."""
    layout.blob(LAYER).unlink()
    await sweep(layout, records, Holds(layout))
    assert [r.id for r in records] == [IMAGE]
    layout.rootfs(IMAGE).rmdir()
    layout.tree(IMAGE).rmdir()
    await sweep(layout, records, Holds(layout))
    assert list(records) == []
    assert everything(layout) == set()


def test_deep_trees_go(tmp_path: Path) -> None:
    """A folder nested deeper than Python can recurse is deleted all the same."""
    import os

    top = tmp_path / "deep"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    remove_tree(top)
    assert not top.exists()
    remove_tree(top)
