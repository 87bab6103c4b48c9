"""Copy a directory tree that a pod may be changing, by open directories alone (runtimes/linux/tree_walk.py).

No link is followed and no mount is entered, so nothing comes into the copy that is not in the tree. Owners, modes, times and
extended attributes are kept; files with several names become several files, sockets are left out.
"""

import contextlib
import os
import stat

from csi import errors
from csi.driver.image_copy import copy_content
from runtimes.linux import syscalls
from runtimes.linux.mounts import MountError
from runtimes.linux.tree_walk import BENEATH, DIRECTORY, Changed, TreeWalk

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree(source: int, target: int) -> None:
    """Everything in one open directory into another, empty one, which only the caller can see.

    What disappears meanwhile is left out. Raises Pending when a directory is moved while it is copied, OSError. Blocks.
    """
    here = os.dup(target)
    try:
        with TreeWalk(os.open(".", DIRECTORY, dir_fd=source)) as tree:
            _clone_metadata(tree.fd, here)
            while tree.names or tree.depth:
                if tree.names:
                    here = _copy_entry(tree, here)
                    continue
                _clone_times(tree.fd, here)
                tree.leave()
                below, here = here, os.open("..", DIRECTORY, dir_fd=here)
                os.close(below)
            _clone_times(tree.fd, here)
    except Changed as error:
        raise errors.Pending(f"the volume's directories are changed while they are copied: {error}") from error
    finally:
        os.close(here)


def _copy_entry(tree: TreeWalk, here: int) -> int:
    """The next name in the directory; returns where to go on: in the new directory, if it was one."""
    name = tree.names.pop()
    try:
        status = os.lstat(name, dir_fd=tree.fd)
        if stat.S_ISDIR(status.st_mode):
            return _enter(tree, name, here)
        if stat.S_ISREG(status.st_mode):
            _copy_file(tree.fd, name, here)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=tree.fd), name, dir_fd=here)
            _own(name, status, here)
        elif not stat.S_ISSOCK(status.st_mode):
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=here)
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=here)
            _own(name, status, here)
    except (FileNotFoundError, Changed, syscalls.NotRegular):
        pass  # it has gone, or is another thing by now
    return here


def _enter(tree: TreeWalk, name: str, here: int) -> int:
    try:
        tree.enter(name)
    except MountError:  # somebody's mount in the volume: what it covers is not to be seen
        os.mkdir(name, 0o700, dir_fd=here)
        return here
    os.mkdir(name, 0o700, dir_fd=here)
    below = os.open(name, DIRECTORY, dir_fd=here)
    try:
        _clone_metadata(tree.fd, below)
    except BaseException:
        os.close(below)
        raise
    os.close(here)
    return below


def _copy_file(directory: int, name: str, here: int) -> None:
    source = syscalls.open_regular(directory, name, resolve=BENEATH, find=os.O_NOFOLLOW)
    try:
        target = os.open(name, _NEW, 0o600, dir_fd=here)
        try:
            copy_content(source, target)
            _clone_metadata(source, target)
            _clone_times(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _own(name: str, status: os.stat_result, here: int) -> None:
    os.chown(name, status.st_uid, status.st_gid, dir_fd=here, follow_symlinks=False)
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=here, follow_symlinks=False)


def _clone_metadata(source: int, target: int) -> None:
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        with contextlib.suppress(OSError):  # of a kind that this file system does not take
            os.setxattr(target, name, os.getxattr(source, name))


def _clone_times(source: int, target: int) -> None:
    status = os.fstat(source)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
