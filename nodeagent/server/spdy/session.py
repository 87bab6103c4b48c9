"""The server's side of one SPDY connection: streams that the client opens (docs/facts/api-client-and-server.md M.5).

There is no flow control in the protocol as it is used: a stream whose reader is slow holds up the whole connection, once its
buffer is full, and so does a client that does not read.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping

from nodeagent.server.idle_timeout import IdleTimer
from nodeagent.server.wire import Wire
from runtimes.kube.spdy import frames
from runtimes.kube.spdy.frames import FIN, BadFrame, FrameKind, Header, Reset
from runtimes.kube.spdy.headers import BadHeaders, Deflater, Inflater

log = logging.getLogger(__name__)

_MAX_STREAM_BYTES = 1024 * 1024  # received ahead of a stream's reader
_MAX_UNREAD_BYTES = 8 * 1024 * 1024  # answers that a client lets pile up without reading them
_PIECE_BYTES = 32 * 1024


class Stream:
    """One stream, both directions."""

    def __init__(self, session: "Session", stream_id: int, headers: Mapping[str, str]) -> None:
        self.id = stream_id
        self.headers = headers
        self._session = session
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._changed = asyncio.Condition()
        self.received_end = False
        self.sent_end = False
        self.was_reset = False

    async def read(self) -> bytes:
        """What has come; b"" at the end: half closed, reset, or the connection gone."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._chunks or self.received_end)
            if not self._chunks:
                return b""
            chunk = self._chunks.popleft()
            self._buffered -= len(chunk)
            self._changed.notify_all()
            return chunk

    async def write(self, data: bytes) -> None:
        """Returns when the peer takes more. Data after a reset is dropped. Raises ConnectionResetError."""
        for start in range(0, len(data), _PIECE_BYTES):
            if self.sent_end:
                return
            await self._session.send(frames.data(self.id, data[start : start + _PIECE_BYTES]))

    async def close_write(self) -> None:
        """Half close. Repeatable."""
        if not self.sent_end:
            self.sent_end = True
            self._session.discard_finished(self)
            await self._session.send(frames.data(self.id, b"", fin=True))

    async def reset(self) -> None:
        """Close both directions. Repeatable."""
        if not (self.sent_end and self.received_end):
            self._session.say(frames.reset(self.id, Reset.CANCEL))
            await self.ended(reset=True)
            self._session.discard_finished(self)

    async def wait_reset(self) -> None:
        """Returns when the peer, or we, have reset the stream, or the connection has gone."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.was_reset)

    async def feed(self, data: bytes) -> None:
        """Called by the session: waits while the reader lags."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._buffered < _MAX_STREAM_BYTES or self.received_end)
            if not self.received_end:
                self._chunks.append(data)
                self._buffered += len(data)
                self._changed.notify_all()

    async def ended(self, *, reset: bool = False) -> None:
        """Called by the session: the peer sends no more, or (reset) the stream is gone."""
        async with self._changed:
            self.received_end = True
            self.sent_end = self.sent_end or reset
            self.was_reset = self.was_reset or reset
            self._changed.notify_all()


class Session:
    """`accept(stream)` decides over a stream that the client opens, at once: None, or why it is refused."""

    def __init__(self, wire: Wire, accept: Callable[[Stream], Reset | None], idle: IdleTimer) -> None:
        self._wire = wire
        self._accept = accept
        self._idle = idle
        self._inflater = Inflater()
        self._deflater = Deflater()
        self._streams: dict[int, Stream] = {}
        self._last_id = 0
        self._rest = b""

    async def run(self) -> None:
        """Serve until the peer has gone or says GOAWAY; after that every stream is at its end."""
        try:
            while (raw := await self._exactly(frames.HEADER_BYTES)) is not None:
                header = frames.parse_header(raw)
                if header.kind is None:
                    await self._take_data(header)
                    continue
                payload = await self._exactly(header.length)
                if payload is None or header.kind is FrameKind.GOAWAY:
                    break
                await self._take_control(header, payload)
        except (BadFrame, BadHeaders) as error:
            log.info("SPDY connection closed: %s", error)
        except ConnectionResetError:
            pass
        finally:
            for stream in self._streams.values():
                await stream.ended(reset=True)

    async def send(self, frame: bytes) -> None:
        """Raises ConnectionResetError."""
        self._wire.write(frame)
        self._idle.touch()
        await self._wire.drain()

    def say(self, frame: bytes) -> None:
        """An answer: the reading side must not wait for the peer to read it."""
        if self._wire.pending_bytes > _MAX_UNREAD_BYTES:
            raise ConnectionResetError("the client reads no answers")
        self._wire.write(frame)

    async def close(self) -> None:
        """Reset what is open, say GOAWAY, and close when all is sent."""
        for stream in list(self._streams.values()):
            if not stream.sent_end:
                self._wire.write(frames.reset(stream.id, Reset.CANCEL))
        self._wire.write(frames.goaway(self._last_id))
        await self._wire.finish()

    def discard_finished(self, stream: Stream) -> None:
        if stream.sent_end and stream.received_end:
            self._streams.pop(stream.id, None)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _exactly(self, count: int) -> bytes | None:
        """None when the connection ends before."""
        while len(self._rest) < count:
            chunk = await self._wire.read()
            if not chunk:
                return None
            self._idle.touch()
            self._rest += chunk
        found, self._rest = self._rest[:count], self._rest[count:]
        return found

    async def _take_data(self, header: Header) -> None:
        """Passed on as it comes: a frame may be larger than what one wants to hold."""
        left = header.length
        stream = self._streams.get(header.stream_id)
        while left:
            if not self._rest:
                self._rest = await self._wire.read()
                if not self._rest:
                    raise ConnectionResetError("the connection ended inside a frame")
                self._idle.touch()
            piece, self._rest = self._rest[:left], self._rest[left:]
            left -= len(piece)
            if stream is not None:
                await stream.feed(piece)
        if header.flags & FIN and stream is not None:
            await self._ended(stream)

    async def _take_control(self, header: Header, payload: bytes) -> None:
        match header.kind:
            case FrameKind.SYN_STREAM:
                await self._opened(payload, fin=bool(header.flags & FIN))
            case FrameKind.RST_STREAM:
                stream = self._streams.pop(frames.number(payload), None)
                if stream is not None:
                    await stream.ended(reset=True)
            case FrameKind.PING:
                if frames.number(payload) % 2:  # the client's; ours would come back even
                    self.say(frames.control(FrameKind.PING, payload))
            case FrameKind.SYN_REPLY | FrameKind.HEADERS:
                self._inflater.pairs(payload[4:])  # the context goes on, whoever reads it
            case _:
                pass  # windows and settings have no meaning here

    async def _opened(self, payload: bytes, *, fin: bool) -> None:
        stream_id = frames.number(payload)
        stream = Stream(self, stream_id, self._inflater.pairs(payload[10:]))
        if stream_id <= self._last_id or stream_id % 2 == 0:
            known = stream_id in self._streams
            self.say(frames.reset(stream_id, Reset.STREAM_IN_USE if known else Reset.PROTOCOL_ERROR))
            return
        self._last_id = stream_id
        refusal = self._accept(stream)
        if refusal is not None:
            self.say(frames.reset(stream_id, refusal))
            return
        self._streams[stream_id] = stream
        # before anything else is read: what the client sends to a stream without a reply is lost
        self.say(frames.syn_reply(stream_id, self._deflater.block({})))
        if fin:
            await self._ended(stream)

    async def _ended(self, stream: Stream) -> None:
        await stream.ended()
        self.discard_finished(stream)
