"""What is in a volume: a directory `data`, or a file `image` that is a disk."""

import os
from collections.abc import Collection
from pathlib import Path

from csi import errors
from csi.driver.image_copy import copy_content
from csi.driver.records import Backing
from csi.driver.tree_copy import copy_tree
from proto import csi_pb2 as csi
from runtimes.linux import process

_PROGRAM_SECONDS = 100.0
_MAKE = {"ext4": ("mkfs.ext4", "-q", "-F", "-m", "0"), "xfs": ("mkfs.xfs", "-q", "-f")}
_DATA_MODE = 0o777  # as it is of a volume that no group of a pod's has been given
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def data(place: Path) -> Path:
    return place / "data"


def image(place: Path) -> Path:
    return place / "image"


def content(place: Path, backing: Backing) -> Path:
    return data(place) if backing == "directory" else image(place)


def condition(place: Path, backing: Backing) -> csi.VolumeCondition:
    """How the volume at `place` is."""
    there = content(place, backing).exists()
    return csi.VolumeCondition(
        abnormal=not there, message="the volume is in order" if there else "the volume's data is gone"
    )


async def make(place: Path, backing: Backing, *, fs_type: str, size: int) -> None:
    """A new, empty one; `fs_type` empty: an image without any. Raises csi.errors, OSError."""
    if backing == "directory":
        data(place).mkdir(mode=_DATA_MODE)
        data(place).chmod(_DATA_MODE)
        return
    with image(place).open("xb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.truncate(size)
    if fs_type:
        await run(*_MAKE[fs_type], str(image(place)))


def copy(source: Path, place: Path, backing: Backing, *, size: int) -> None:
    """A copy of the content at `source`, an image at least as large as `size`. Blocks. Raises csi.errors, OSError."""
    if backing == "directory":
        data(place).mkdir(mode=0o700)
        fds = [os.open(folder, _DIRECTORY) for folder in (data(source), data(place))]
        try:
            copy_tree(*fds)
        finally:
            for fd in fds:
                os.close(fd)
        return
    with image(source).open("rb") as old, image(place).open("xb") as new:
        os.fchmod(new.fileno(), 0o600)
        copy_content(old.fileno(), new.fileno())
        grow(image(place), size)


def grow(file: Path, size: int) -> None:
    """Let an image be at least so large, on the disk. Raises OSError."""
    fd = os.open(file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
            os.fsync(fd)
    finally:
        os.close(fd)


def allocate(file: Path, size: int) -> None:
    """Set blocks aside for all of an image. Raises OSError where there are not so many."""
    fd = os.open(file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.posix_fallocate(fd, 0, size)
        os.fsync(fd)
    finally:
        os.close(fd)


async def run(*argv: str, good: Collection[int] = (0,)) -> None:
    """A program of e2fsprogs or xfsprogs; `good`: exit statuses of success. Raises csi.errors."""
    try:
        done = await process.run(argv, timeout_seconds=_PROGRAM_SECONDS)
    except process.ProgramNotFound as error:
        raise errors.DriverFault(f"{argv[0]} is not installed here") from error
    except process.ProcessError as error:
        raise errors.Unavailable(str(error)) from error
    if done.returncode not in good:
        raise errors.DriverFault(f"{argv[0]}: {errors.presentable(done.error_text)}")
