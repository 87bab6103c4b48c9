"""Read a container's log from any point to its end, or on and on across rotations (docs/facts/api-client-and-server.md K.3)."""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from asyncinotify import Inotify

from nodeagent.server.log_chain import LogChain
from nodeagent.server.log_lines import nine_digits, parse_line, parse_time

log = logging.getLogger(__name__)

_RECHECK_SECONDS = 1.0  # inotify says nothing of files on some network and FUSE mounts
_ASK_SECONDS = 0.05  # a container that writes all the time need not be asked after at every line
_FLUSH_SECONDS = 5.0  # so long a runtime may still write to the file before, although it has begun the new one
# a whole line of CRI's format without further tags, in the plainest case: (content with its end)
_WHOLE = re.compile(rb"^[^ {\n][^ \n]* std(?:out|err) F(?: |(?=\n))([^\n]*\n)", re.MULTILINE)

IsRunning = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """`tail_lines` None: all. `since`: only lines from then on. `limit_bytes` counts what is sent.

    `stream` (stdout, stderr): only lines of that one; empty: of both.
    """

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None
    stream: str = ""


async def read_log(path: Path, options: LogOptions, is_running: IsRunning) -> AsyncGenerator[bytes, None]:
    """What to send, in pieces. Raises OSError when the file cannot be opened."""
    with contextlib.closing(LogChain(path)) as chain:
        await go_to_start(chain, options)
        async for piece in send_log(chain, options, is_running):
            yield piece


async def go_to_start(chain: LogChain, options: LogOptions) -> None:
    """Where to begin is found before the client hears anything: what is written from then on is part of a tail of 0."""
    if options.tail_lines is not None:
        await chain.seek_tail(options.tail_lines)


async def send_log(chain: LogChain, options: LogOptions, is_running: IsRunning) -> AsyncGenerator[bytes, None]:
    """What to send of an open log from where it stands, in pieces.

    With `follow`: on and on, until the container runs no more and its file is read to the end.
    """
    output = _Output(options)
    with chain.watch() if options.follow else contextlib.nullcontext() as changes:
        following = _Following(chain, is_running, changes) if changes is not None else None
        while True:
            while lines := await chain.lines():
                if piece := output.take(lines):
                    yield piece
                if output.full:
                    return
                await asyncio.sleep(0)  # a large log is not the only thing the agent has to do
            if following is None or not await following.more():
                break
            if following.file_ended:
                if piece := output.take(chain.rest()):
                    yield piece
                if not chain.advance():
                    await asyncio.sleep(_RECHECK_SECONDS)
        if piece := output.take(chain.rest()):
            yield piece


class _Following:
    """What to do at the end of what is there: wait, go on to the next file, or end."""

    def __init__(self, chain: LogChain, is_running: IsRunning, changes: Inotify) -> None:
        self._chain = chain
        self._is_running = is_running
        self._changes = changes
        self._ended = False  # the container has: what is there is all there will ever be
        self._final = False  # nobody writes to this file any more: what is read now is its end
        self._flush_until = 0.0  # 0: nobody was seen to write to a file that was replaced
        self._asked_at = float("-inf")
        self.file_ended = False

    async def more(self) -> bool:
        """Returns when it is worth to read on, or False: that was all. `file_ended`: in the file after this one."""
        self.file_ended = False
        if self._chain.replaced():
            await self._leave_file()
            return True
        if self._ended:
            return False
        now = asyncio.get_running_loop().time()
        if now - self._asked_at < _ASK_SECONDS:
            await self._change(self._asked_at + _ASK_SECONDS - now)
            return True
        self._asked_at = now
        if not await self._is_running():
            self._ended = True  # and is there a last line, or a last file?
            return True
        await self._change(_RECHECK_SECONDS)
        return True

    async def _leave_file(self) -> None:
        if self._final:
            self._final, self._flush_until, self.file_ended = False, 0.0, True
            return
        now = asyncio.get_running_loop().time()
        self._flush_until = self._flush_until or now + _FLUSH_SECONDS
        if now < self._flush_until and self._chain.is_written():
            await self._change(_RECHECK_SECONDS)
        else:
            self._final = True

    async def _change(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changes.get()


class _Output:
    """Convert lines of the file to what the client sees."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._is_plain = not options.timestamps and options.since is None and not options.stream
        self._left = options.limit_bytes
        self._inside_line = False

    @property
    def full(self) -> bool:
        return self._left == 0

    def take(self, lines: bytes) -> bytes:
        """`lines`: whole ones."""
        if self._is_plain:
            contents = _WHOLE.findall(lines)
            if len(contents) == lines.count(b"\n"):
                if contents:
                    self._inside_line = False
                return self._limited(b"".join(contents))
        piece = bytearray()
        for raw in lines.split(b"\n"):
            if raw:
                self._add(piece, raw)
        return self._limited(bytes(piece))

    def _add(self, piece: bytearray, raw: bytes) -> None:
        line = parse_line(raw)
        if line is None:
            log.debug("not a line of a container log: %r", raw[:80])
            return
        if self._options.stream not in ("", line.stream):
            return
        if self._options.since is not None:
            time = parse_time(line.time)
            if time is None or time < self._options.since:
                return
        if self._options.timestamps and not self._inside_line:
            piece += nine_digits(line.time).encode() + b" "
        piece += line.content
        if not line.partial:
            piece += b"\n"
        self._inside_line = line.partial

    def _limited(self, piece: bytes) -> bytes:
        if self._left is None:
            return piece
        piece = piece[: self._left]
        self._left -= len(piece)
        return piece
