"""VOLUME_MOUNT_GROUP: all of a volume is of one group, which may read and write it, and so is what is made there later."""

import os
import stat

_FILE = stat.S_IRGRP | stat.S_IWGRP
_DIRECTORY = stat.S_ISGID | _FILE | stat.S_IXGRP


def give(root: int, group: int) -> None:
    """`root`: an open directory. Blocks. No pod may have the volume yet: modes are set by name. Raises OSError.

    The root comes last, so that one who has the group says that all has: a driver that was killed here begins again.
    """
    status = os.stat(".", dir_fd=root)
    if status.st_gid == group and stat.S_IMODE(status.st_mode) & _DIRECTORY == _DIRECTORY:
        return
    for _, folders, files, fd in os.fwalk(".", topdown=False, onerror=_stop, dir_fd=root):
        for name in (*folders, *files):
            _give(name, group, fd)
    _give(".", group, root)


def _give(name: str, group: int, directory: int) -> None:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    os.chown(name, -1, group, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        wanted = _DIRECTORY if stat.S_ISDIR(status.st_mode) else _FILE
        os.chmod(name, stat.S_IMODE(status.st_mode) | wanted, dir_fd=directory)


def _stop(error: OSError) -> None:
    raise error
