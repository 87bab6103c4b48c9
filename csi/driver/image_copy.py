"""Copy a file's content with its holes; by sharing blocks where the file system can."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_FICLONE = 0x40049409
_FREEZE = 0xC0045877
_THAW = 0xC0045878
_PIECE_BYTES = 16 * 1024 * 1024
_CANNOT_SHARE = frozenset((errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS))


def copy_content(source: int, target: int) -> None:
    """From one open file to another, empty one. Blocks. Raises OSError."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError as error:
        if error.errno not in _CANNOT_SHARE:
            raise
    end = os.fstat(source).st_size
    os.ftruncate(target, end)
    at = 0
    while at < end:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        stop = os.lseek(source, at, os.SEEK_HOLE)
        while at < stop:
            copied = os.copy_file_range(source, target, min(stop - at, _PIECE_BYTES), at, at)
            if copied == 0:  # it was cut off meanwhile
                return
            at += copied


@contextlib.contextmanager
def frozen(mount: Path) -> Iterator[None]:
    """Hold up all writes to a mounted file system: its device is in order, as after an unmount. Raises OSError.

    Who is killed inside leaves it frozen: `thaw` at the next start.
    """
    fd = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _FREEZE, 0)
        try:
            yield
        finally:
            fcntl.ioctl(fd, _THAW, 0)
    finally:
        os.close(fd)


def thaw(mount: Path) -> None:
    """Let writes to a file system go on; one that is not held up is fine. Raises OSError."""
    fd = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _THAW, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)
