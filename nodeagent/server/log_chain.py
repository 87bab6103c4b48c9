"""A container's log as it is read: the file that is open now, and after a rotation the way to the one after it.

Measured with a log of 28 MB in blocks of 128 KiB: what is in the page cache costs 0.5 ns of CPU a byte when it is read at once,
and 0.9 through aiofiles, whose every call goes to a thread; what is not there costs the same either way, for it has to go to one.
(Line by line aiofiles costs 320 ns.) So the cache is asked first, and aiofiles reads the rest.

A reader that lags finds the file after its own also when that has been rotated, or even packed up, meanwhile: a packed file
keeps the time of its original. What rotation has removed by then is lost to it.
"""

import asyncio
import contextlib
import errno
import gzip
import io
import logging
import os
from pathlib import Path

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO
from asyncinotify import Inotify, Mask

from nodeagent.container_logs.folder import LogFolder, NotALog, has_writer
from nodeagent.container_logs.rotation import PACKED, stamps

log = logging.getLogger(__name__)

BLOCK_BYTES = 128 * 1024
_MAX_LINE_BYTES = 4 * 1024 * 1024  # what is longer is no line of a log
_HERE = -1  # preadv2(2): the descriptor's own offset, which moves on
_APPEAR_SECONDS = 2.0  # between rename and reopen a log has no live file
_CHANGES = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.CLOSE_WRITE


class LogChain:
    """Opened; closed by its reader. `below`: the folder of all pods' logs, from where on no link is followed."""

    def __init__(self, path: Path, below: Path | None = None) -> None:
        """Raises OSError when the live log is not there, or is no file."""
        self._folder = LogFolder(path.parent, below)
        self._live = path.name
        self._stamp = ""  # of the file that is read now, where it is known to have been rotated
        self._packed: gzip.GzipFile | None = None
        self._slow: AsyncFileIO | None = None  # the same file, once something of it was not in the cache
        self._rest = b""
        self._skipping = False
        try:
            self._fd = self._folder.open(self._live)
        except BaseException:
            self._folder.close()
            raise

    def close(self) -> None:
        self._close_file()
        self._folder.close()

    def watch(self) -> Inotify:
        """Tells of every change in the folder from now on."""
        inotify = Inotify()
        inotify.add_watch(self._folder.path, _CHANGES)
        return inotify

    async def seek_tail(self, lines: int) -> None:
        """Go on with the last `lines` lines of the live log."""
        os.lseek(self._fd, await asyncio.to_thread(tail_position, self._fd, lines), os.SEEK_SET)

    async def lines(self) -> bytes:
        """The next whole lines; b"" at the end of what is there."""
        while block := await self._read():
            head, newline, tail = block.rpartition(b"\n")
            if not newline:
                self._keep(block)
                continue
            found = self._rest + head + newline
            self._rest = b""
            if self._skipping:
                found = found.partition(b"\n")[2]
                self._skipping = False
            self._keep(tail)
            if found:
                return found
        return b""

    def rest(self) -> bytes:
        """A last line without an end, once nobody will finish it."""
        rest, self._rest = self._rest, b""
        skipping, self._skipping = self._skipping, False
        return rest + b"\n" if rest and not skipping else b""

    def replaced(self) -> bool:
        """Whether the live log is another file by now. Notes the name of this one while it has one."""
        try:
            live = self._folder.stat(self._live)
        except OSError:
            return False
        here = os.fstat(self._fd)
        if live is None or _same(live, here):
            return False
        if not self._stamp:
            self._stamp = self._own_stamp(here)
        return True

    def is_written(self) -> bool:
        """Whether somebody may still add to this file, although there is another one (a runtime that flushes)."""
        return has_writer(self._fd)

    def advance(self) -> bool:
        """Go on with the file after this one: the next rotated one if there were several rotations, else the live log.

        False: the live log has just been renamed, and there is no other yet.
        """
        here = os.fstat(self._fd)
        known = stamps(self._live, self._folder.names())
        if self._stamp:
            following = [stamp for stamp in known if stamp > self._stamp]
        else:
            following = [stamp for stamp in known if self._modified(stamp) > here.st_mtime_ns]
        for stamp in following:
            for name in (f"{self._live}.{stamp}", f"{self._live}.{stamp}{PACKED}"):
                with contextlib.suppress(FileNotFoundError, NotALog):
                    self._switch(name, stamp)
                    return True
        with contextlib.suppress(FileNotFoundError, NotALog):
            self._switch(self._live, "")
            return True
        return False

    # -- inside --------------------------------------------------------------------------------------------------------

    def _own_stamp(self, here: os.stat_result) -> str:
        """By what this file was renamed to; where that has been packed up since, by its time. "": it has been removed."""
        known = stamps(self._live, self._folder.names())
        for stamp in known:
            with contextlib.suppress(OSError):
                found = self._folder.stat(f"{self._live}.{stamp}")
                if found is not None and _same(found, here):
                    return stamp
        return next((stamp for stamp in known if self._modified(stamp) == here.st_mtime_ns), "")

    def _modified(self, stamp: str) -> int:
        for name in (f"{self._live}.{stamp}", f"{self._live}.{stamp}{PACKED}"):
            with contextlib.suppress(OSError):
                found = self._folder.stat(name)
                if found is not None:
                    return found.st_mtime_ns
        return 0

    def _switch(self, name: str, stamp: str) -> None:
        fd = self._folder.open(name)
        self._close_file()
        self._fd, self._stamp = fd, stamp
        if name.endswith(PACKED):
            self._packed = gzip.GzipFile(fileobj=io.FileIO(fd, closefd=False), mode="rb")

    def _close_file(self) -> None:
        if self._packed is not None:
            self._packed.close()
            self._packed = None
        self._slow = None
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    async def _read(self) -> bytes:
        """What is in the page cache is read at once; what is not, in a thread."""
        if self._packed is not None:
            return await asyncio.to_thread(_unpack, self._packed)
        block = _read_cached(self._fd)
        if block is not None:
            return block
        if self._slow is None:
            self._slow = await aiofiles.open(self._fd, "rb", buffering=0, closefd=False)
        return await self._slow.read(BLOCK_BYTES)

    def _keep(self, tail: bytes) -> None:
        self._rest += tail
        if len(self._rest) > _MAX_LINE_BYTES:
            self._rest, self._skipping = b"", True


async def open_log(path: Path, below: Path | None = None) -> LogChain:
    """The live log of a container that runs, which for a moment may not be there: just renamed, not yet begun again.

    Raises OSError.
    """
    with contextlib.suppress(FileNotFoundError):
        return LogChain(path, below)
    with Inotify() as inotify:
        with LogFolder(path.parent, below) as folder:
            inotify.add_watch(folder.path, Mask.CREATE | Mask.MOVED_TO)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_APPEAR_SECONDS):
                while True:
                    with contextlib.suppress(FileNotFoundError):
                        return LogChain(path, below)
                    await inotify.get()
    return LogChain(path, below)


def tail_position(fd: int, lines: int) -> int:
    """The offset of the last `lines` lines of a file, found from its end."""
    end = os.fstat(fd).st_size
    if lines == 0:
        return end
    position, missing = end, lines + 1  # the last line ends with a newline that begins nothing
    while position > 0:
        size = min(BLOCK_BYTES, position)
        position -= size
        block = os.pread(fd, size, position)
        if position + size == end and not block.endswith(b"\n"):
            missing -= 1
        count = block.count(b"\n")
        if count < missing:
            missing -= count
            continue
        at = len(block)
        for _ in range(missing):
            at = block.rindex(b"\n", 0, at)
        return position + at + 1
    return 0


def _read_cached(fd: int) -> bytes | None:
    """The next block, from where the descriptor stands. None: it would block, or the file system cannot tell."""
    buffer = bytearray(BLOCK_BYTES)
    try:
        count = os.preadv(fd, [buffer], _HERE, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        return None
    return bytes(memoryview(buffer)[:count])


def _unpack(packed: gzip.GzipFile) -> bytes:
    try:
        return packed.read(BLOCK_BYTES)
    except (OSError, EOFError, ValueError) as error:
        log.warning("a packed log is damaged: %s", error)
        return b""


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
