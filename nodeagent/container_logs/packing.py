"""Packing up a rotated log: a temporary file, then its name, then the original goes. Killed anywhere, nothing is lost."""

import contextlib
import os
import stat
import zlib

from nodeagent.container_logs.folder import LogFolder, has_writer
from nodeagent.container_logs.rotation import PACKED, UNFINISHED

_PIECE_BYTES = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 6


def pack(folder: LogFolder, name: str) -> bool:
    """gzip `name`. False: somebody still writes to it, or it was dropped meanwhile.

    Raises OSError (no space left): then it is as it was.

    The packed file has the time of the original, by which a reader that lags knows it again.
    """
    if folder.stat(f"{name}{PACKED}") is not None:  # killed before the original went
        folder.remove(name)
        return True
    source = folder.open(name)
    try:
        if has_writer(source):
            return False
        unfinished = f"{name}{UNFINISHED}"
        try:
            _write(folder, source, unfinished)
            if not _is_still(folder, name, source):  # a rotation has dropped it meanwhile: it is not to come back
                folder.remove(unfinished)
                return False
            folder.rename(unfinished, f"{name}{PACKED}")
        except BaseException:
            with contextlib.suppress(OSError):
                folder.remove(unfinished)
            raise
        folder.remove(name)
        return True
    finally:
        os.close(source)


def _is_still(folder: LogFolder, name: str, fd: int) -> bool:
    found, own = folder.stat(name), os.fstat(fd)
    return found is not None and (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)


def _write(folder: LogFolder, source: int, name: str) -> None:
    found = os.fstat(source)
    folder.remove(name)
    target = folder.create(name, stat.S_IMODE(found.st_mode))
    with open(target, "wb", buffering=0) as file:
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        while piece := os.read(source, _PIECE_BYTES):
            _write_all(file.fileno(), packer.compress(piece))
        _write_all(file.fileno(), packer.flush())
        os.utime(file.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(file.fileno())


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
