"""Read a container's log file: CRI lines (and Docker's JSON lines), from any point, to its end or on and on (facts: K.3)."""

import asyncio
import contextlib
import io
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asyncinotify import Inotify, Mask

_BLOCK_BYTES = 64 * 1024
_RECHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """`tail_lines` None: all. `since`: only later lines. `limit_bytes` counts what is sent. `streams`: stdout, stderr."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None
    streams: frozenset[str] = frozenset({"stdout", "stderr"})


@dataclass(frozen=True, slots=True)
class Line:
    """`time` is the text of the file; `partial`: no end of line was written."""

    time: str
    stream: str
    partial: bool
    content: bytes


class _Limited(Exception):
    """limitBytes has been sent."""


async def read_log(path: Path, options: LogOptions, is_running: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
    """What to send, in pieces. Raises OSError when the file cannot be opened.

    With `follow`: on and on across rotations, until the container runs no more and the file is read to its end.
    """
    output = _Output(options)
    file = _open(path)
    try:
        if options.tail_lines is not None:
            file.seek(tail_position(file.fileno(), options.tail_lines))
        with contextlib.suppress(_Limited):
            rest = b""
            with Inotify() as inotify:
                if options.follow:
                    inotify.add_watch(path.parent, Mask.MODIFY | Mask.CREATE | Mask.MOVED_TO | Mask.CLOSE_WRITE)
                while True:
                    running = await is_running() if options.follow else False
                    # what is read after the container was seen to have ended is all there will ever be
                    while block := await asyncio.to_thread(file.read, _BLOCK_BYTES):
                        lines = (rest + block).split(b"\n")
                        rest = lines.pop()
                        piece = output.take(lines)
                        if piece:
                            yield piece
                        if output.full:
                            return
                    if _replaced(file.fileno(), path):
                        file.close()
                        file = _open(path)
                        rest = b""
                        continue
                    if not running:
                        return
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_RECHECK_SECONDS):
                            await inotify.get()
    finally:
        file.close()


def _open(path: Path) -> io.FileIO:
    """Opening a local file does not block; reading it may, and is done in a thread."""
    return open(path, "rb", buffering=0)


def _replaced(fd: int, path: Path) -> bool:
    """Whether the name stands for another file by now: the log was rotated, and the new file is there."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)


def tail_position(fd: int, lines: int) -> int:
    """The offset of the last `lines` lines of a file."""
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


def parse_line(raw: bytes) -> Line | None:
    """One line of the file; None for one that is none."""
    if raw.startswith(b"{"):
        return _docker_line(raw)
    parts = raw.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    return Line(
        parts[0].decode(errors="replace"),
        parts[1].decode(),
        parts[2].split(b":", 1)[0] == b"P",
        parts[3] if len(parts) == 4 else b"",
    )


def _docker_line(raw: bytes) -> Line | None:
    try:
        document = json.loads(raw)
        content = document["log"].encode()
        time, stream = document["time"], document["stream"]
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return Line(time, stream, not content.endswith(b"\n"), content.removesuffix(b"\n"))


def parse_time(text: str) -> datetime | None:
    """RFC 3339 with up to nine fractional digits, of which a datetime keeps six."""
    main, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    text = f"{main}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}" if dot else text
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def nine_digits(text: str) -> str:
    """The time with exactly nine fractional digits."""
    main, dot, rest = text.partition(".")
    if not dot:
        zone = "Z" if text.endswith("Z") else text[19:]
        return f"{text[:19]}.000000000{zone}"
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{main}.{rest[:digits][:9].ljust(9, '0')}{rest[digits:]}"


class _Output:
    """From lines of the file to what the client sees."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._inside_line = False
        self._late_enough = options.since is None

    @property
    def full(self) -> bool:
        return self._left == 0

    def take(self, raw_lines: list[bytes]) -> bytes:
        piece = bytearray()
        for raw in raw_lines:
            line = parse_line(raw) if raw else None
            if line is not None and line.stream in self._options.streams and self._is_late_enough(line):
                if self._options.timestamps and not self._inside_line:
                    piece += nine_digits(line.time).encode() + b" "
                piece += line.content
                if not line.partial:
                    piece += b"\n"
                self._inside_line = line.partial
        return self._limited(bytes(piece))

    def _is_late_enough(self, line: Line) -> bool:
        """Lines are in order: after the first one that is late enough no time has to be read."""
        if not self._late_enough:
            assert self._options.since is not None
            time = parse_time(line.time)
            self._late_enough = time is not None and time >= self._options.since
        return self._late_enough

    def _limited(self, piece: bytes) -> bytes:
        if self._left is None:
            return piece
        piece = piece[: self._left]
        self._left -= len(piece)
        return piece
