"""subPath: bind a file or directory inside a volume, which containers may be changing at the same time.

Links are followed only as long as they stay inside the volume, by the kernel itself (openat2, RESOLVE_BENEATH), and what
is bound is the very file that was opened: there is no path in between that could be exchanged.
All functions block.
"""

import errno
import os
import stat
from pathlib import Path

from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.layout import Layout, make_directories
from runtimes.linux import syscalls
from runtimes.linux.mounts import is_mount_point, unmount_all

_RESOLVE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS
_FILE_MODE = 0o640


class UnsafePath(VolumeError):
    """The path leads out of its volume."""


def check(path: str) -> None:
    """Raises VolumeError for a path that is absolute or climbs, or that no system call takes."""
    if "\0" in path:
        raise VolumeError(f"error SubPath {path!r} must not contain a NUL")
    if path.startswith("/"):
        raise VolumeError(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise VolumeError(f"unable to provision SubPath `{path}`: must not contain '..'")


def open_inside(root: Path, path: str) -> int:
    """Open `path` below `root` (O_PATH), making its missing directories with the root's permissions.

    The caller closes the descriptor. Raises UnsafePath, OSError.
    """
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            return syscalls.openat2(root_fd, path, os.O_PATH, resolve=_RESOLVE)
        except FileNotFoundError:
            return _make(root_fd, path)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.ELOOP):
            raise UnsafePath(f"subPath {path} leads out of the volume") from error
        raise
    finally:
        os.close(root_fd)


def _make(root_fd: int, path: str) -> int:
    mode = stat.S_IMODE(os.fstat(root_fd).st_mode)
    parent = os.dup(root_fd)
    walked: list[str] = []
    for name in (part for part in path.split("/") if part not in ("", ".")):
        walked.append(name)
        try:
            child = _open_or_make(root_fd, parent, "/".join(walked), name, mode)
        finally:
            os.close(parent)
        parent = child
    return parent


def _open_or_make(root_fd: int, parent: int, walked: str, name: str, mode: int) -> int:
    try:
        return syscalls.openat2(root_fd, walked, os.O_PATH, resolve=_RESOLVE)
    except FileNotFoundError:
        pass
    os.mkdir(name, 0o700, dir_fd=parent)
    child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    os.fchmod(child, mode)
    return child


def bind(source_fd: int, target: Path) -> None:
    """Bind-mount the open file or directory on `target`, made to match. A target that is mounted already is kept."""
    if is_mount_point(target):
        return
    is_directory = stat.S_ISDIR(os.fstat(source_fd).st_mode)
    make_directories(target.parent)
    if is_directory:
        make_directories(target)
    else:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE))
    syscalls.mount(f"/proc/self/fd/{source_fd}", target, flags=syscalls.MS_BIND)


def prepare(root: Path, path: str, target: Path, *, volume: str, container: str) -> None:
    """Make `path` inside the volume at `root` appear at `target`. Raises VolumeError with what users may know."""
    place = f'volumeMount "{volume}" of container "{container}"'
    try:
        source = open_inside(root, path)
    except UnsafePath as error:
        raise VolumeError(f"failed to prepare subPath for {place}") from error
    except OSError as error:
        raise VolumeError(f"failed to create subPath directory for {place}") from error
    try:
        bind(source, target)
    except OSError as error:
        raise VolumeError(f"failed to prepare subPath for {place}") from error
    finally:
        os.close(source)


def clean_up(layout: Layout, uid: str, directory_name: str) -> None:
    """Undo every `prepare` of one volume of a pod. Nothing there is fine. Raises VolumeError when one is in use."""
    volume_dir = layout.subpaths_dir(uid) / directory_name
    try:
        containers = list(volume_dir.iterdir())
    except FileNotFoundError:
        return
    for container in containers:
        for target in list(container.iterdir()):
            unmount_all(target)
            _remove(target)
        container.rmdir()
    volume_dir.rmdir()


def _remove(target: Path) -> None:
    if stat.S_ISDIR(target.lstat().st_mode):
        target.rmdir()
    else:
        target.unlink()
