"""Where neither an image nor a volume may put something of its own: what a runtime writes through."""

from pathlib import Path

import pytest

from runtimes.errors import InvalidArgument
from runtimes.oci.spec.protected_paths import verify_root, verify_volumes


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "rootfs"
    for name in ("dev", "proc", "sys", "data"):
        (root / name).mkdir(parents=True)
    (root / "devices").symlink_to("dev")
    (root / "data/up").symlink_to("../proc/.")
    (root / "climbing").symlink_to("../../../../dev")
    return root


def test_an_image_of_folders(rootfs: Path, tmp_path: Path) -> None:
    """Folders pass, and so does an image that has none of them."""
    verify_root(rootfs)
    verify_root(tmp_path)


@pytest.mark.parametrize("place", ["dev", "proc", "sys"])
@pytest.mark.parametrize("target", ["/etc", "../../../etc", "data", "gone", None])
def test_an_image_of_links(rootfs: Path, place: str, target: str | None) -> None:
    """A link, wherever it leads, is refused by name; a file too."""
    (rootfs / place).rmdir()
    if target is None:
        (rootfs / place).touch()
    else:
        (rootfs / place).symlink_to(target)
    kind = "not a folder" if target is None else "a symbolic link"
    with pytest.raises(InvalidArgument) as caught:
        verify_root(rootfs)
    assert str(caught.value) == f"/{place} of the image is {kind}: refused"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/dev", "/dev"),
        ("/dev/", "/dev"),
        ("//dev/.", "/dev"),
        ("/data/../dev", "/dev"),
        ("/devices", "/dev"),
        ("/climbing", "/dev"),
        ("/proc", "/proc"),
        ("/data/up", "/proc"),
        ("/sys/", "/sys"),
    ],
)
def test_volumes_in_the_kernels_places(rootfs: Path, tmp_path: Path, path: str, place: str) -> None:
    """However it is written or reached, only the host's own file system may be mounted there."""
    with pytest.raises(InvalidArgument) as caught:
        verify_volumes(rootfs, [(path, tmp_path)])
    assert str(caught.value) == f"mount path {path!r}: only the host's own {place} can be mounted at {place}"
    verify_volumes(rootfs, [(path, Path(place))])


@pytest.mark.parametrize("path", ["/", "//", "/.", "/data/.."])
def test_a_volume_instead_of_the_root(rootfs: Path, tmp_path: Path, path: str) -> None:
    """It would hide all that was mounted before."""
    with pytest.raises(InvalidArgument, match="is the container's root: refused"):
        verify_volumes(rootfs, [(path, tmp_path)])


def test_volumes_elsewhere(rootfs: Path, tmp_path: Path) -> None:
    """Below these places, and anywhere else, volumes are as they were."""
    paths = ("/dev/shm", "/dev/null", "/dev/termination-log", "/sys/fs/bpf", "/proc/x", "/data", "/new/dev", "/devx")
    verify_volumes(rootfs, [(path, tmp_path) for path in paths])


@pytest.mark.parametrize(
    ("link", "target", "path"),
    [
        ("d", "/dev", "/data/d"),
        ("d", "../dev", "/data/d"),
        ("d", "../../../dev/.", "/data/d"),
        ("d", "/devices", "/data/d"),
        ("d", "/", "/data/d/proc"),
        ("d", "e/../../sys", "/data/d"),
    ],
)
def test_volumes_by_way_of_other_volumes(rootfs: Path, tmp_path: Path, link: str, target: str, path: str) -> None:
    """A link in a volume that is mounted before leads a second one no further than its path itself would; in whatever order
    they are given."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    (first / link).symlink_to(target)
    for volumes in ([("/data", first), (path, second)], [(path, second), ("/data", first)]):
        with pytest.raises(InvalidArgument, match="only the host's own /"):
            verify_volumes(rootfs, volumes)
    verify_volumes(rootfs, [("/data", first), ("/data/other", second), ("/data/other/deep", first)])


def test_links_without_end(rootfs: Path, tmp_path: Path) -> None:
    """A circle of links is an error, not a loop."""
    (rootfs / "a").symlink_to("b")
    (rootfs / "b").symlink_to("a")
    with pytest.raises(InvalidArgument, match="too many levels of symbolic links"):
        verify_volumes(rootfs, [("/a/x", tmp_path)])


def test_a_path_that_is_none(rootfs: Path, tmp_path: Path) -> None:
    """A NUL ends no path early: refused by name, before anything is looked up."""
    with pytest.raises(InvalidArgument, match="has a NUL in it"):
        verify_volumes(rootfs, [("/a\0b", tmp_path)])
