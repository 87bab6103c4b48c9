"""Volumes that an image declares: which are made, and with what in them."""

import os
import stat
from pathlib import Path

import pytest

from runtimes import errors
from runtimes.oci.declared_volumes import DeclaredVolume, declared_volumes, make
from runtimes.oci.images.contract import ImageConfig, ImageRecord

RESERVED = {"/dev/shm", "/etc/hosts"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An image's tree, with a neighbour that it must not reach."""
    root = tmp_path / "image"
    for folder in ("data/deep", "etc", "run", "var"):
        (root / folder).mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (root / "data" / "file").write_text("content")
    (root / "etc" / "app.conf").write_text("a=1")
    (root / "var" / "run").symlink_to("/run")
    (root / "out").symlink_to("../../outside")
    (root / "loop").symlink_to("/loop")
    (root / "dangling").symlink_to("/nowhere")
    os.mkfifo(root / "pipe")
    return root


def image(tree: Path, *volumes: str) -> ImageRecord:
    return ImageRecord(
        id="sha256:1",
        manifest_digest="",
        tags=(),
        digests=(),
        layers=(),
        size_bytes=0,
        unpacked_bytes=0,
        unpacked_inodes=0,
        config=ImageConfig(volumes=volumes),
        rootfs=tree,
    )


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (["/data"], [("/data", "data")]),
        (["/data", "/data/", "data", "//data", "/x/../data", "/./data"], [("/data", "data")]),
        (["/data", "/data/deep"], [("/data", "data"), ("/data/deep", "data/deep")]),
        (["/new/place"], [("/new/place", None)]),
        (["/etc/app.conf"], [("/etc/app.conf", "etc/app.conf")]),
        # links in the image are followed inside it only
        (["/var/run"], [("/run", "run")]),
        (["/var/run/x", "/run/x", "/run"], [("/run/x", None), ("/run", "run")]),
        (["/out"], [("/outside", None)]),
        (["/out/secret"], [("/outside/secret", None)]),
        (["/dangling/../data"], [("/data", "data")]),
        (["/dangling"], [("/nowhere", None)]),
        (["/../../outside"], [("/outside", None)]),
        # what can be none
        (["/", "", ".", "/..", "/proc", "/proc/x", "/sys/fs/cgroup", "/dev/shm", "/etc/hosts", "/pipe"], []),
    ],
)
def test_which_are_made(tree: Path, declared: list[str], expected: list[tuple[str, str | None]]) -> None:
    """Each place once, under its clean name, with what the image itself has there."""
    found = declared_volumes(image(tree, *declared), [], RESERVED)
    told = [(volume.destination, volume.origin and str(volume.origin.relative_to(tree))) for volume in found]
    assert told == expected


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        (["/data"], ["/data/deep", "/run/x"]),
        (["/data/"], ["/data/deep", "/run/x"]),
        (["/data/deep"], ["/data", "/run/x"]),
        (["/"], ["/data", "/data/deep", "/run/x"]),
        (["/var/run/x"], ["/data", "/data/deep"]),
        (["/run"], ["/data", "/data/deep", "/run/x"]),
    ],
)
def test_mounts_of_the_pod_come_first(tree: Path, taken: list[str], left: list[str]) -> None:
    """On the same place, by whatever path; one above or below it changes nothing, as in the CRI's peers."""
    found = declared_volumes(image(tree, "/data", "/data/deep", "/run/x"), taken, RESERVED)
    assert [volume.destination for volume in found] == left


@pytest.mark.parametrize("path", ["/loop", "/" + "x" * 300, "/a\0b"])
def test_places_that_cannot_be(tree: Path, path: str) -> None:
    """Refused, by name."""
    with pytest.raises(errors.InvalidArgument, match="volume '/"):
        declared_volumes(image(tree, path), [], RESERVED)


async def test_the_images_content(tree: Path, tmp_path: Path) -> None:
    """Modes, times, links, hard links and extended attributes; links are copied, never followed."""
    (tree / "data").chmod(0o1777)
    (tree / "data" / "file").chmod(0o4750)
    os.utime(tree / "data" / "file", (1000, 2000))
    (tree / "data" / "link").symlink_to("../../outside/secret")
    (tree / "data" / "again").hardlink_to(tree / "data" / "file")
    (tree / "data" / "-odd\nname").write_text("odd")
    volume = DeclaredVolume(destination="/data", origin=tree / "data")
    made = await make(volume, tmp_path / "made", timeout_seconds=30)
    assert stat.S_IMODE(made.stat().st_mode) == 0o1777
    file = (made / "file").stat()
    assert (stat.S_IMODE(file.st_mode), file.st_mtime, file.st_nlink) == (0o4750, 2000, 2)
    assert (made / "link").readlink() == Path("../../outside/secret")
    assert sorted(entry.name for entry in made.iterdir()) == ["-odd\nname", "again", "deep", "file", "link"]
    (made / "file").write_text("changed")
    assert (tree / "data" / "file").read_text() == "content", "the image itself stays as it is"


async def test_a_place_that_the_image_does_not_have(tmp_path: Path) -> None:
    """An empty folder that everybody may read; and a file is a file of its own."""
    before = os.umask(0o077)
    try:
        made = await make(DeclaredVolume(destination="/x", origin=None), tmp_path / "0", timeout_seconds=30)
    finally:
        os.umask(before)
    assert (stat.S_IMODE(made.stat().st_mode), list(made.iterdir())) == (0o755, [])
    (tmp_path / "file").write_text("a")
    made = await make(DeclaredVolume(destination="/x", origin=tmp_path / "file"), tmp_path / "1", timeout_seconds=30)
    assert made.read_text() == "a"


async def test_content_that_cannot_be_copied(tmp_path: Path) -> None:
    """An error that names the volume."""
    volume = DeclaredVolume(destination="/x", origin=tmp_path / "gone")
    with pytest.raises(errors.Internal, match=r"the image's content of volume /x cannot be copied: .*gone"):
        await make(volume, tmp_path / "made", timeout_seconds=30)
