"""Read a container's log file from any point to its end, or on and on across rotations (facts: K.3)."""

import asyncio
import contextlib
import io
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from asyncinotify import Inotify, Mask

from nodeagent.server.log_lines import nine_digits, parse_line, parse_time

log = logging.getLogger(__name__)

_BLOCK_BYTES = 64 * 1024
_MAX_LINE_BYTES = 4 * 1024 * 1024  # what is longer is no line of a log
_RECHECK_SECONDS = 1.0  # inotify says nothing of files on some network and FUSE mounts
_CHANGES = Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.CLOSE_WRITE


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """`tail_lines` None: all. `since`: only lines from then on. `limit_bytes` counts what is sent."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None


async def read_log(path: Path, options: LogOptions, is_running: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
    """What to send, in pieces. Raises OSError when the file cannot be opened.

    With `follow`: on and on, until the container runs no more and its file is read to the end.
    """
    output = _Output(options)
    file = _File(path)
    try:
        if options.tail_lines is not None:
            file.seek(tail_position(file.fileno(), options.tail_lines))
        with _watch(path.parent) if options.follow else contextlib.nullcontext() as changes:
            running = True
            while True:
                read_any = False
                while lines := await asyncio.to_thread(file.lines):
                    read_any = True
                    if piece := output.take(lines):
                        yield piece
                    if output.full:
                        return
                if changes is None or not running:
                    break
                if read_any:
                    continue  # look again: only at its end is the file asked after, or waited for
                if file.replaced():
                    # the writer had left the old file before the new one was there: now its end is final
                    while lines := await asyncio.to_thread(file.lines):
                        if piece := output.take(lines):
                            yield piece
                    if piece := output.take(file.rest()):
                        yield piece
                    file.advance()
                    continue
                if not await is_running():
                    running = False  # what is read after this is all there will ever be
                    continue
                await _change(changes)
            if piece := output.take(file.rest()):
                yield piece
    finally:
        file.close()


def _watch(directory: Path) -> Inotify:
    inotify = Inotify()
    inotify.add_watch(directory, _CHANGES)
    return inotify


async def _change(changes: Inotify) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_RECHECK_SECONDS):
            await changes.get()


class _File:
    """The file that is read now. Opening a local file does not block; reading it may, and is done in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _open(path)
        self._rest = b""
        self._skipping = False

    def fileno(self) -> int:
        return self._file.fileno()

    def seek(self, position: int) -> None:
        self._file.seek(position)

    def close(self) -> None:
        self._file.close()

    def lines(self) -> list[bytes]:
        """The next whole lines; empty at the end of what is there."""
        while block := self._file.read(_BLOCK_BYTES):
            lines = block.split(b"\n")
            lines[0] = self._rest + lines[0]
            self._rest = lines.pop()
            if self._skipping and lines:
                self._skipping = False
                lines[0] = b""
            if len(self._rest) > _MAX_LINE_BYTES:
                self._rest, self._skipping = b"", True
            if lines:
                return lines
        return []

    def rest(self) -> list[bytes]:
        """A last line without an end, once nobody will finish it."""
        rest, self._rest = self._rest, b""
        return [rest] if rest and not self._skipping else []

    def replaced(self) -> bool:
        """Whether the name stands for another file by now: the log was rotated, and the new file is there."""
        try:
            return not _same(self._path.stat(), os.fstat(self.fileno()))
        except FileNotFoundError:
            return False

    def advance(self) -> None:
        """Go on with the file after this one: the next rotated one if there were several rotations, else the log itself."""
        here = os.fstat(self.fileno())
        rotated = sorted(
            entry for entry in self._path.parent.glob(f"{self._path.name}.*") if entry.suffix not in (".gz", ".tmp")
        )
        following = [*rotated, self._path]
        for entry, successor in zip(rotated, following[1:], strict=True):
            with contextlib.suppress(FileNotFoundError):
                if _same(entry.stat(), here):
                    following = [successor, self._path]
                    break
        else:
            following = [self._path]
        for entry in following:
            with contextlib.suppress(FileNotFoundError):
                opened = _open(entry)
                self._file.close()
                self._file, self._rest, self._skipping = opened, b"", False
                return


def _open(path: Path) -> io.FileIO:
    return open(path, "rb", buffering=0)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def tail_position(fd: int, lines: int) -> int:
    """The offset of the last `lines` lines of a file, found from its end."""
    end = os.fstat(fd).st_size
    if lines == 0:
        return end
    position, missing = end, lines + 1  # the last line ends with a newline that begins nothing
    while position > 0:
        size = min(_BLOCK_BYTES, position)
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


class _Output:
    """From lines of the file to what the client sees."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._inside_line = False

    @property
    def full(self) -> bool:
        return self._left == 0

    def take(self, raw_lines: list[bytes]) -> bytes:
        piece = bytearray()
        for raw in raw_lines:
            line = parse_line(raw) if raw else None
            if line is None:
                if raw:
                    log.debug("not a line of a container log: %r", raw[:80])
                continue
            if self._options.since is not None:
                time = parse_time(line.time)
                if time is None or time < self._options.since:
                    continue
            if self._options.timestamps and not self._inside_line:
                piece += nine_digits(line.time).encode() + b" "
            piece += line.content
            if not line.partial:
                piece += b"\n"
            self._inside_line = line.partial
        return self._limited(bytes(piece))

    def _limited(self, piece: bytes) -> bytes:
        if self._left is None:
            return piece
        piece = piece[: self._left]
        self._left -= len(piece)
        return piece
