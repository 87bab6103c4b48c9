"""Mount points: what is mounted where, taking it down, and whether others see it."""

import errno
import os
from pathlib import Path

from runtimes.linux import mountinfo, syscalls

# Errors of a mount whose server is gone: it is a mount point, and it can be unmounted.
_DEAD_MOUNT = frozenset(
    (errno.ENOTCONN, errno.ESTALE, errno.EIO, errno.EACCES, errno.EHOSTDOWN, errno.EWOULDBLOCK, errno.ENODEV)
)


class MountError(OSError):
    """Something is mounted, or in use, where nothing may be; it was left as it is. The text names the place."""


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted exactly at `path`, bind mounts included. A path that is not there is none."""
    try:
        return bool(syscalls.statx_attributes(path) & syscalls.STATX_ATTR_MOUNT_ROOT)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return False
        if error.errno in _DEAD_MOUNT:
            return True
        raise


def unmount_all(path: Path) -> None:
    """Unmount whatever is stacked at `path`. Not mounted, or not there, is fine. Raises MountError when it is in use."""
    while is_mount_point(path):
        try:
            syscalls.umount(path)
        except OSError as error:
            raise MountError(f"unmount of {shown(path)} failed: {error.strerror}") from error


def mounts_below(path: Path) -> list[Path]:
    """Where something is mounted at `path` or below it. From the mount table: nothing that may hang is asked."""
    top = os.path.realpath(path)
    points = (entry.point for entry in mountinfo.read_mounts())
    return [Path(point) for point in points if point == top or point.startswith(f"{top}/")]


def shown(path: str | Path) -> str:
    """A path for a message: what would break the line, or is no text, as the escapes that Python has for it."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(path))


def share_root(root_dir: Path) -> None:
    """Make `root_dir` a shared mount, bound on itself where it is none, so that mounts of CSI drivers reach the host."""
    if not is_mount_point(root_dir):
        syscalls.mount(str(root_dir), root_dir, flags=syscalls.MS_BIND | syscalls.MS_REC)
    syscalls.mount("none", root_dir, flags=syscalls.MS_SHARED | syscalls.MS_REC)


def unshare_root(root_dir: Path) -> None:
    """Undo `share_root` when the agent's data goes for good."""
    if is_mount_point(root_dir):
        syscalls.umount(root_dir, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
