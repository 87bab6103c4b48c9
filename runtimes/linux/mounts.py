"""Mount points: what is mounted where, taking it down, and whether others see it."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from runtimes.linux import mountinfo, syscalls
from runtimes.linux.mountinfo import MountEntry

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


def bind(source: int, target: int, *, attributes: int = 0, recursive: bool = False) -> None:
    """Bind mount one open file or directory on another; with `attributes` (MOUNT_ATTR_*) from the first moment.

    Both are descriptors, so that no path can be exchanged in between (O_PATH will do). There is no state in which the mount is
    there and the attributes are not, whoever is killed when. `recursive`: with what is mounted below. Raises OSError.
    """
    tree = syscalls.open_tree(source, syscalls.OPEN_TREE_CLONE | (syscalls.AT_RECURSIVE if recursive else 0))
    try:
        if attributes:
            syscalls.set_mount_attributes(tree, attributes, Path(f"/proc/self/fd/{target}"))
        syscalls.move_mount(tree, target)
    finally:
        os.close(tree)


def bind_path(source: Path, target: Path, *, attributes: int = 0) -> None:
    """Bind mount what is at `source` on what is at `target`, which is no link. Raises OSError."""
    found = os.open(source, os.O_PATH | os.O_CLOEXEC)
    try:
        point = os.open(target, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            bind(found, point, attributes=attributes)
        finally:
            os.close(point)
    finally:
        os.close(found)


def mounts_below(path: Path) -> list[Path]:
    """Where something is mounted at `path` or below it. From the mount table: nothing that may hang is asked."""
    top = os.path.realpath(path)
    return [Path(point) for point in mountinfo.mount_points() if point == top or _is_below(point, top)]


def shown(path: str | Path) -> str:
    """A path for a message: what would break the line, or is no text, as the escapes that Python has for it."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(path))


def share(directory: Path) -> None:
    """Let what others mount below `directory`, in mount namespaces of their own that came from this one, appear here.

    Where it is on no shared mount yet, it is bound on itself, and that mount is shared. Repeatable. Raises MountError where
    something is mounted below already, which would be covered; OSError.
    """
    top = os.path.realpath(directory)
    table = mountinfo.read_mounts()
    own = _mount_of(top, table)
    if any(tag.startswith("shared:") for tag in own.tags):
        return
    if own.point != top:
        if below := [entry for entry in table if _is_below(entry.point, top)]:
            raise MountError(f"{shown(below[0].point)} is mounted already")
        syscalls.mount(top, top, flags=syscalls.MS_BIND)
    syscalls.mount("none", top, flags=syscalls.MS_SHARED | syscalls.MS_REC)


def unshare(directory: Path) -> None:
    """Undo `share`, whoever did it, where it bound the directory on itself; not while something is mounted below.

    Raises OSError.
    """
    top = os.path.realpath(directory)
    table = mountinfo.read_mounts()
    if bound_on_itself(top, table) and not any(_is_below(entry.point, top) for entry in table):
        # whoever has something open in it goes on in the directory itself
        syscalls.umount(top, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)


def bound_on_itself(top: str, table: Sequence[MountEntry]) -> bool:
    """Whether what is mounted at `top` is the very directory that it covers: nobody sees a difference when it goes."""
    own = _mount_of(top, table)
    if own.point != top:
        return False
    covered = _mount_of(top, [entry for entry in table if entry.point != top])
    inside = os.path.relpath(top, covered.point)
    return (own.device, own.root) == (covered.device, str(PurePosixPath(covered.root, inside)))


def _mount_of(path: str, table: Sequence[MountEntry]) -> MountEntry:
    """The mount that `path` is on: the innermost, and of those at one place the last."""
    over = [entry for entry in table if entry.point == path or _is_below(path, entry.point)]
    return max(reversed(over), key=lambda entry: len(entry.point))


def _is_below(path: str, top: str) -> bool:
    return path.startswith(f"{top.rstrip('/')}/") and path != top
