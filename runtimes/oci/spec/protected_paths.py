"""Paths that only the kernel's own file systems may be at: runtimes write through them while a container is made.

A runtime makes /dev/null, /dev/console and links in /dev, hides files by binding /dev/null over them, and sets labels by writing
to /proc. Where the image or a volume has put a link in the way it does so at the link's end: on the host (CVE-2026-41579, 88264),
or over another file of /proc (CVE-2025-31133). Newer runtimes look; those that are installed may not.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from runtimes import errors

_KERNELS = ("/dev", "/proc", "/sys")
_MAX_LINKS = 40  # as the kernel's


def verify_root(rootfs: Path) -> None:
    """Raises InvalidArgument for an image in which one of the places is a link. Blocks."""
    for place in _KERNELS:
        try:
            mode = (rootfs / place[1:]).lstat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(mode):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a folder"
            raise errors.InvalidArgument(f"{place} of the image is {kind}: refused")


def verify_volumes(rootfs: Path, volumes: Iterable[tuple[str, Path]]) -> None:
    """(container path, host path) of volumes. Raises InvalidArgument for one that takes such a place. Blocks.

    Paths are followed as the runtime will: through links of the image, and of the volumes that are mounted before.
    The host's own /dev, /proc and /sys may be there: those who may mount them have the host.
    """
    mounted = {"/": rootfs}
    for path, source in sorted(volumes, key=lambda volume: len(Path(volume[0]).parts)):
        place = _resolved(mounted, path)
        if place == "/":
            raise errors.InvalidArgument(f"mount path {path!r} is the container's root: refused")
        if place in _KERNELS and not _same(source, Path(place)):
            raise errors.InvalidArgument(f"mount path {path!r}: only the host's own {place} can be mounted at {place}")
        mounted[place] = source


def _resolved(mounted: Mapping[str, Path], path: str) -> str:
    """Where a path of a container leads. Raises InvalidArgument for links without end, and for what is no path."""
    if "\0" in path:
        raise errors.InvalidArgument(f"mount path {path!r} has a NUL in it")
    at, left = "/", _parts(path)
    links = 0
    while left:
        name = left.pop()
        if name == "..":
            at = os.path.dirname(at)  # noqa: PTH120  # text of the container's, no path of the host
            continue
        following = f"{at.rstrip('/')}/{name}"
        target = _link(_on_host(mounted, following))
        if target is None:
            at = following
            continue
        links += 1
        if links > _MAX_LINKS:
            raise errors.InvalidArgument(f"mount path {path!r}: too many levels of symbolic links")
        left += _parts(target)
        if target.startswith("/"):
            at = "/"
    return at


def _parts(path: str) -> list[str]:
    """The names of a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _on_host(mounted: Mapping[str, Path], path: str) -> Path:
    """The host's side of a path in which nothing but the last name can be a link."""
    place = max((known for known in mounted if f"{path}/".startswith(f"{known.rstrip('/')}/")), key=len)
    return mounted[place] / path[len(place) :].lstrip("/")


def _link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None  # no link, or not there: the runtime makes it


def _same(source: Path, place: Path) -> bool:
    try:
        return source.samefile(place)
    except OSError:
        return False
