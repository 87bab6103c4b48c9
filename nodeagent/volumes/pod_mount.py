"""A directory, of the node or with a file system that is staged on it, as a volume of one pod: a bind mount at
`pods/<uid>/volumes/<plugin>/<volume>`. Everything here blocks.
"""

from pathlib import Path

from nodeagent.volumes import device_mount
from nodeagent.volumes.contract import VolumeError, VolumeSource
from nodeagent.volumes.layout import make_directories
from runtimes.linux import mount_options, mounts, syscalls


def bind(source: VolumeSource, origin: Path, target: Path, *, read_only: bool) -> None:
    """With those of the source's mount options that a bind mount can have. Not repeatable. Raises VolumeError."""
    attributes = mount_options.parse(source.mount_options).attributes
    try:
        make_directories(target)
        mounts.bind_path(origin, target, attributes=attributes | (syscalls.MOUNT_ATTR_RDONLY if read_only else 0))
    except OSError as error:
        raise VolumeError(f"{error.filename or target}: {error.strerror}") from error


def unbind(target: Path) -> None:
    """Undo `bind`, or half of it; nothing there is fine. Raises VolumeError."""
    try:
        device_mount.unmount(target)
    except OSError as error:
        raise VolumeError(str(error)) from error
