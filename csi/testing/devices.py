"""A block device, or a file, read and written through to what is below it. All functions block; errors are OSError."""

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
