"""Volumes that an image declares (VOLUME): each container gets one of its own there, with the image's files in it.

They are folders (or a file, where the image has one) below the container's directory, so they are gone with it, and writable
whatever the root file system is. As in the CRI's peers, a mount of the pod on the same place is there instead.
"""

import contextlib
import errno
import logging
import os
import posixpath
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from runtimes import errors
from runtimes.linux import process
from runtimes.oci.images.contract import ImageRecord
from runtimes.oci.program import ENVIRONMENT

log = logging.getLogger(__name__)

_MODE = 0o755  # of a folder that the image does not have
_MAX_LINKS = 40
_NO_LINK = frozenset([errno.EINVAL, errno.ENOENT, errno.ENOTDIR])
_KERNEL = ("/proc", "/sys")  # nothing of an image can be there


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredVolume:
    """`destination`: in the container, no part of it a link of the image. `origin`: what the image has there; None: nothing."""

    destination: str
    origin: Path | None


def declared_volumes(image: ImageRecord, taken: Iterable[str], reserved: Collection[str]) -> list[DeclaredVolume]:
    """Those of an image that are to be made. Blocks for a few system calls each. Raises InvalidArgument.

    `taken`: container paths of the pod's own mounts; links in the image are followed before places are compared. `reserved`:
    where every container has something of the sandbox's or the kernel's.
    """
    root = image.rootfs.resolve()
    occupied = {_place(root, _clean(path)) for path in taken} | {"/", *reserved}
    found: list[DeclaredVolume] = []
    for declared in dict.fromkeys(map(_clean, image.config.volumes)):
        place = _place(root, declared)
        if place in occupied:
            continue
        occupied.add(place)
        origin = root / place.lstrip("/")
        mode = _mode(origin)
        if any(PurePosixPath(place).is_relative_to(folder) for folder in _KERNEL) or not _can_be_one(mode):
            log.warning("image %s: %s cannot be a volume: left out", image.id, place)
            continue
        found.append(DeclaredVolume(destination=place, origin=origin if mode is not None else None))
    return found


async def make(volume: DeclaredVolume, target: Path, *, timeout_seconds: float) -> Path:
    """Make it at `target`, which does not exist yet; owners, modes, links and extended attributes are the image's.

    Raises Internal, ResourceExhausted, Timeout.
    """
    try:
        if volume.origin is None:
            target.mkdir()
            target.chmod(_MODE)
            return target
        argv = ["cp", "--archive", "--no-target-directory", "--reflink=auto", "--", str(volume.origin), str(target)]
        done = await process.run(argv, timeout_seconds=timeout_seconds, env=ENVIRONMENT)
    except process.ProcessTimeout as error:
        raise errors.Timeout(f"the image's content of volume {volume.destination}: {error}") from error
    except (process.ProcessError, OSError) as error:
        raise errors.Internal(f"volume {volume.destination} of the image: {error}") from error
    if not done.ok:
        text = f"the image's content of volume {volume.destination} cannot be copied: {done.error_text}"
        raise errors.ResourceExhausted(text) if _is_full(target.parent) else errors.Internal(text)
    return target


def _clean(path: str) -> str:
    """Absolute, without dots and doubled slashes."""
    return posixpath.normpath("/" + path.lstrip("/"))


def _place(root: Path, path: str) -> str:
    """Where a path leads inside the image, links followed even where they lead to nothing yet. Raises InvalidArgument.

    The tree is nobody's to change, so it is walked by names; no link is ever followed by the kernel.
    """
    left, reached, links = list(reversed(_parts(path))), PurePosixPath("/"), 0
    while left:
        part = left.pop()
        if part == "..":
            reached = reached.parent
            continue
        try:
            target = str((root / reached.relative_to("/") / part).readlink())
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) or error.errno not in _NO_LINK:
                raise errors.InvalidArgument(f"volume {path!r} of the image: {error}") from error
            reached /= part
            continue
        if (links := links + 1) > _MAX_LINKS:
            raise errors.InvalidArgument(f"volume {path!r} of the image: too many levels of symbolic links")
        left += reversed(_parts(target))
        if target.startswith("/"):
            reached = PurePosixPath("/")
    return str(reached)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _mode(path: Path) -> int | None:
    """Of what is there."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return path.lstat().st_mode
    return None


def _can_be_one(mode: int | None) -> bool:
    return mode is None or stat.S_ISDIR(mode) or stat.S_ISREG(mode)


def _is_full(folder: Path) -> bool:
    found = os.statvfs(folder)
    return found.f_bavail == 0 or (found.f_files > 0 and found.f_favail == 0)
