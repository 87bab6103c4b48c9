"""Delete trees that containers may have filled, and may be changing while they are deleted.

Everything is done relative to open directories (`tree_walk`): no symbolic link is followed, no mount is crossed, and what stands
in the way is told by its path. All functions block.
"""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from runtimes.linux.mounts import MountError
from runtimes.linux.tree_walk import Changed, TreeWalk, open_directory, place, until_settled

# (open directory, name) of what is no directory -> it is deleted, or an error. Raises IsADirectoryError.
_Unlink = Callable[[int, str], None]


def remove_tree(path: Path) -> None:
    """Delete a directory with everything in it, or a file. Nothing there is fine.

    Raises MountError where something is mounted at or below `path`, OSError for what cannot be deleted; both name the place. What
    was deleted before that stays deleted: where all or nothing matters, ask `mounts.mounts_below` first.
    """
    _remove(path, _unlink)


def remove_empty_tree(path: Path) -> None:
    """Delete a directory with the directories in it, as long as there is nothing else. Nothing there is fine.

    Raises NotADirectoryError, with its place, for anything that is no directory: it may be somebody's data, and stays. MountError
    and other OSErrors as `remove_tree`.
    """
    _remove(path, _keep)


def _remove(path: Path, unlink: _Unlink) -> None:
    try:
        parent = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        until_settled(lambda: _remove_once(parent, path.name, unlink))
    finally:
        os.close(parent)


def _remove_once(parent: int, top: str, unlink: _Unlink) -> None:
    if _gone(parent, top, unlink):
        return
    with TreeWalk(open_directory(parent, top)) as tree:
        while tree.names or tree.depth:
            if not tree.names:
                emptied = tree.leave()
                _remove_emptied(tree.fd, emptied)
            elif not _gone(tree.fd, name := tree.names.pop(), unlink):
                tree.enter(name)
    _remove_emptied(parent, top)


def _gone(directory: int, name: str, unlink: _Unlink) -> bool:
    """Delete what needs no look inside; False: it is a directory with something in it."""
    try:
        unlink(directory, name)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return _remove_directory(directory, name)
    except NotADirectoryError:
        raise
    except OSError as error:
        raise _in_the_way(error, directory, name) from error
    return True


def _remove_directory(directory: int, name: str) -> bool:
    try:
        os.rmdir(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except NotADirectoryError as error:
        raise Changed(error.errno, error.strerror, place(directory, name)) from error
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise _in_the_way(error, directory, name) from error
    return True


def _remove_emptied(directory: int, name: str) -> None:
    if not _remove_directory(directory, name):
        raise Changed(errno.ENOTEMPTY, "is being filled meanwhile", place(directory, name))


def _unlink(directory: int, name: str) -> None:
    os.unlink(name, dir_fd=directory)


def _keep(directory: int, name: str) -> None:
    if stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
        raise IsADirectoryError
    raise NotADirectoryError(errno.ENOTDIR, "is not a directory: it is kept", place(directory, name))


def _in_the_way(error: OSError, directory: int, name: str) -> OSError:
    if error.errno == errno.EBUSY:
        return MountError(f"{place(directory, name)} is a mount point")
    return OSError(error.errno, error.strerror, place(directory, name))
