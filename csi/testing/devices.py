"""A block device, or a file, read and written through to what is below it. All functions block; errors are OSError."""

import errno
import os
from pathlib import Path


def write(path: Path, data: bytes, *, at: int = 0) -> None:
    """On the disk when it returns."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, data, at)
        os.fsync(fd)
    finally:
        os.close(fd)


def read(path: Path, size: int, *, at: int = 0) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, at)
    finally:
        os.close(fd)


def size(path: Path) -> int:
    """In bytes."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)


def fill(path: Path, *, step: int, most: int) -> int:
    """Make a file of as many bytes as there is room for, `step` at a time; returns how many. OSError where `most` fit."""
    filled = 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        while filled < most:
            os.posix_fallocate(fd, filled, step)
            filled += step
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return filled
        raise
    finally:
        os.close(fd)
    raise OSError(errno.EFBIG, f"{filled} bytes fit, and more", str(path))
