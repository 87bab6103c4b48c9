"""Questions about mount points, and removing trees without ever stepping over one."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from runtimes.linux import syscalls

# Errors of a mount whose server is gone: it is a mount point, and it can be unmounted.
_DEAD_MOUNT = frozenset(
    (errno.ENOTCONN, errno.ESTALE, errno.EIO, errno.EACCES, errno.EHOSTDOWN, errno.EWOULDBLOCK, errno.ENODEV)
)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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
            raise MountError(f"unmount of {path} failed: {error.strerror}") from error


def remove_tree(path: Path) -> None:
    """Delete a directory tree that containers may have filled. Nothing there is fine.

    Never follows a symbolic link and never enters a mount point (a bind mount of the same file system included): that
    raises MountError and leaves it untouched.
    """
    try:
        path.rmdir()
    except FileNotFoundError:
        return
    except NotADirectoryError:
        path.unlink()
        return
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise MountError(f"{path} is a mount point") from error
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        _empty(path)
        path.rmdir()


def _empty(path: Path) -> None:
    # A stack of open directories instead of recursion: a container may nest deeper than Python recurses.
    root = os.open(path, _DIRECTORY)
    stack: list[tuple[int, list[str]]] = [(root, names_in(root))]
    try:
        while stack:
            directory, names = stack[-1]
            if not names:
                stack.pop()
                os.close(directory)
                if stack:  # the last name of the parent is the directory just emptied
                    os.rmdir(stack[-1][1].pop(), dir_fd=stack[-1][0])
                continue
            name = names[-1]
            if stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
                stack.append(_enter(directory, name))
            else:
                _unlink(directory, names.pop())
    finally:
        for directory, _ in stack:
            os.close(directory)


def names_in(directory: int) -> list[str]:
    """What is in an open directory."""
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]


def _enter(directory: int, name: str) -> tuple[int, list[str]]:
    try:
        child = syscalls.openat2(
            directory, name, _DIRECTORY, resolve=syscalls.RESOLVE_NO_XDEV | syscalls.RESOLVE_BENEATH
        )
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise MountError(f"{_location(directory)}/{name} is a mount point") from error
        raise
    return child, names_in(child)


def _unlink(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise MountError(f"{_location(directory)}/{name} is a mount point") from error
        raise


def _location(directory: int) -> str:
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/self/fd/{directory}").readlink())
    return "?"


def share_root(root_dir: Path) -> None:
    """Make `root_dir` a shared mount, bound on itself where it is none, so that mounts of CSI drivers reach the host."""
    if not is_mount_point(root_dir):
        syscalls.mount(str(root_dir), root_dir, flags=syscalls.MS_BIND | syscalls.MS_REC)
    syscalls.mount("none", root_dir, flags=syscalls.MS_SHARED | syscalls.MS_REC)


def unshare_root(root_dir: Path) -> None:
    """Undo `share_root` when the agent's data goes for good."""
    if is_mount_point(root_dir):
        syscalls.umount(root_dir, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
