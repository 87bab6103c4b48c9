"""Where nothing but the kernel's own file systems may be: what runtimes write through while a container is made.

A runtime makes /dev/null, /dev/console and links in /dev, hides files by binding /dev/null over them, and sets labels by writing
to /proc. Where the image or a volume has put a link in the way it does so at the link's end: on the host (CVE-2026-41579, 88264),
or over another file of /proc (CVE-2025-31133). Newer runtimes look; those that are installed may not.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from runtimes import errors
from runtimes.oci.users import open_in_root

_KERNELS = ("/dev", "/proc", "/sys")


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

    The host's own /dev, /proc and /sys may be there: those who may mount them have the host.
    """
    for path, source in volumes:
        place = _resolved(rootfs, path)
        if place == "/":
            raise errors.InvalidArgument(f"mount path {path!r} is the container's root: refused")
        if place in _KERNELS and not _same(source, Path(place)):
            raise errors.InvalidArgument(f"mount path {path!r}: only the host's own {place} can be mounted at {place}")


def _resolved(rootfs: Path, path: str) -> str:
    """Where a path of a container leads, as far as the image tells."""
    try:
        fd = open_in_root(rootfs, path, os.O_PATH)
    except OSError:
        return "/" + os.path.normpath(path).lstrip("/")  # the runtime makes it
    try:
        found = Path(f"/proc/self/fd/{fd}").readlink()
    finally:
        os.close(fd)
    return str("/" / found.relative_to(rootfs.resolve()))


def _same(source: Path, place: Path) -> bool:
    try:
        return source.samefile(place)
    except OSError:
        return False
