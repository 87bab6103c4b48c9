"""Hand a volume over to the pod's fsGroup.

The walk is done with open directories and without following a link, since containers of the pod may be at work in the
volume at the same time. It blocks; call it off the event loop.
"""

import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from runtimes.linux.mounts import MountError
from runtimes.linux.tree_walk import DIRECTORY, Changed, TreeWalk, place, until_settled

log = logging.getLogger(__name__)

_WRITABLE_BITS = 0o660
_READ_ONLY_BITS = 0o440
_DIRECTORY_BITS = 0o110 | stat.S_ISGID
_FIRST_REPORT_SECONDS = 30.0
_NEXT_REPORT_SECONDS = 60.0

# (entries done so far), called now and then on a slow walk
Progress = Callable[[int], None]


def wanted_mode(mode: int, *, read_only: bool) -> int:
    """The permission bits of an entry of type and mode `mode` in a volume that belongs to a group."""
    bits = _READ_ONLY_BITS if read_only else _WRITABLE_BITS
    if stat.S_ISDIR(mode):
        bits |= _DIRECTORY_BITS
    return stat.S_IMODE(mode) | bits


def belongs_to(root: Path, gid: int, *, read_only: bool) -> bool:
    """Whether the volume's root shows that an earlier walk was finished (policy OnRootMismatch)."""
    status = root.stat()
    return status.st_gid == gid and stat.S_IMODE(status.st_mode) == wanted_mode(status.st_mode, read_only=read_only)


def set_group(
    root: Path,
    gid: int,
    *,
    read_only: bool = False,
    only_on_root_mismatch: bool = False,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Give every entry of `root` to group `gid`, children first and the root last, which thereby marks the walk as done.

    What cannot be changed is logged and left. Raises OSError when a directory cannot be read.
    """
    if only_on_root_mismatch and belongs_to(root, gid, read_only=read_only):
        return
    walk = _Walk(gid, read_only, progress, clock)
    until_settled(lambda: walk.tree(root))


class _Walk:
    def __init__(self, gid: int, read_only: bool, progress: Progress | None, clock: Callable[[], float]) -> None:
        self._gid = gid
        self._read_only = read_only
        self._progress = progress
        self._clock = clock
        self._done = 0
        self._next_report = clock() + _FIRST_REPORT_SECONDS

    def tree(self, root: Path) -> None:
        """Everything below `root` but what is mounted there, then the root."""
        with TreeWalk(os.open(root, DIRECTORY)) as at:
            while at.names or at.depth:
                if at.names:
                    self._visit(at, at.names.pop())
                else:
                    self._change_open(at.fd)
                    at.leave()
            self._change_open(at.fd)

    def _visit(self, at: TreeWalk, name: str) -> None:
        try:
            mode = os.lstat(name, dir_fd=at.fd).st_mode
            if stat.S_ISDIR(mode):
                at.enter(name)
            else:
                self._change_file(name, at.fd, mode)
        except (FileNotFoundError, Changed):
            return  # a container has removed it by now, or put something else there
        except MountError as error:
            log.info("fsGroup %d: %s, and stays as it is", self._gid, error)

    def _change_open(self, descriptor: int) -> None:
        try:
            os.fchown(descriptor, -1, self._gid)
            os.fchmod(descriptor, wanted_mode(os.fstat(descriptor).st_mode, read_only=self._read_only))
        except OSError as error:
            log.info("fsGroup %d: cannot change %s: %s", self._gid, place(descriptor), error)
        self._count()

    def _change_file(self, name: str, directory: int, mode: int) -> None:
        try:
            if stat.S_ISLNK(mode):
                os.chown(name, -1, self._gid, dir_fd=directory, follow_symlinks=False)
            else:
                self._change_inode(name, directory)
        except OSError as error:
            log.info("fsGroup %d: cannot change %s: %s", self._gid, name, error)
        self._count()

    def _change_inode(self, name: str, directory: int) -> None:
        # chmod has no "do not follow" on Linux: change the very file that was looked at, through its descriptor.
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISLNK(mode):  # changed its nature meanwhile
                return
            inode = Path(f"/proc/self/fd/{descriptor}")
            os.chown(inode, -1, self._gid)
            inode.chmod(wanted_mode(mode, read_only=self._read_only))
        finally:
            os.close(descriptor)

    def _count(self) -> None:
        self._done += 1
        if self._progress is not None and self._clock() >= self._next_report:
            self._next_report += _NEXT_REPORT_SECONDS
            self._progress(self._done)
