"""Files that are whole whatever happens to their writer, and files that only root may read.

A new content is written beside its file, under a name that nobody else has, and renamed over it: whoever reads sees the old or
the new one, a disk that is full keeps the old one, and a link at the file's place is replaced, never followed. A process that is
killed in between leaves the half beside the file, with a dot in front of its name.

All of it blocks: microseconds, and as long as the disk takes where it is `durable`. Errors are OSError with the path of the file.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from runtimes.linux import syscalls

PRIVATE = 0o600
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OVER = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def replace_file(
    path: Path, data: bytes, *, mode: int = PRIVATE, durable: bool = True, beside: Path | None = None
) -> None:
    """Make `data` the content of `path`, all of it or none. Its folder must exist. Arguments as of `draft`."""
    with draft(path, mode=mode, durable=durable, beside=beside) as file:
        file.write(data)


@contextlib.contextmanager
def draft(path: Path, *, mode: int = PRIVATE, durable: bool = True, beside: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write the new content of `path` to. It takes its place when the block is left, and is dropped on an error.

    `mode` is exact, whatever the umask; until then nobody but the owner can open it. `durable`: both the content and the name
    are on the disk afterwards, so that a power cut loses neither; otherwise they are soon. `beside`: the folder for the
    unfinished file, on the same file system; None: that of `path`.
    """
    unfinished = (beside or path.parent) / f".{path.name}.{secrets.token_hex(6)}"
    with _errors_of(path, unfinished):
        fd = os.open(unfinished, _NEW, PRIVATE)
        try:
            with open(fd, "wb") as file:
                yield file
                file.flush()
                if mode != PRIVATE:
                    os.fchmod(fd, mode)
                if durable:
                    os.fsync(fd)
            unfinished.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        if durable:
            sync_folder(path.parent)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, straight to its place: for a reader that comes later. Follows no link."""
    with _errors_of(path), open(os.open(path, _OVER, PRIVATE), "wb") as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """fsync(2) of a folder: what was made, renamed and removed in it is on the disk."""
    with _opened(folder) as fd:
        os.fsync(fd)


def sync_file_system(folder: Path) -> None:
    """syncfs(2) of the file system that `folder` is on: all that was written there is on the disk."""
    with _opened(folder) as fd:
        syscalls.syncfs(fd)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    with _errors_of(folder):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)


@contextlib.contextmanager
def _errors_of(path: Path, unfinished: Path | None = None) -> Iterator[None]:
    """write(2) and fsync(2) know no path, and that of the unfinished file means nothing to anybody."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename) == str(unfinished):
            error.filename, error.filename2 = str(path), None
        raise
