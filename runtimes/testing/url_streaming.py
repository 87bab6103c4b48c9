"""A small client of a runtime's own streaming server: exec, attach and port-forward over SPDY/3.1, at the URL that the
runtime answered. It gives the URL the form of `LocalStreaming`, so that a test need not know which way a runtime streams.

The frames are those of runtimes/kube/spdy; a node's server passes them on byte for byte (nodeagent/server/proxy.py).
"""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from typing_extensions import override

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import LocalStreaming, PortConnection, RuntimeService, StreamSession
from runtimes.kube.spdy import frames
from runtimes.kube.spdy.frames import FIN, FrameKind, Reset
from runtimes.kube.spdy.headers import Deflater, Inflater

CONNECT_SECONDS = 20.0
_PROCESS_PROTOCOLS = ("v4.channel.k8s.io",)
_PORT_PROTOCOLS = ("portforward.k8s.io",)
_PIECE_BYTES = 32 * 1024
_QUEUE_LENGTH = 64  # pieces of a stream ahead of its reader; more wait in the socket
_MAX_TEXT_BYTES = 64 * 1024


class Stream:
    """One stream that this client has opened."""

    def __init__(self, connection: "Connection", stream_id: int) -> None:
        self._connection = connection
        self.id = stream_id
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE_LENGTH)
        self.accepted = asyncio.Event()
        self.refused = False
        self.ended = False
        self._closed = False

    async def read(self) -> bytes:
        """b"" at the end, again and again."""
        if self.ended and self.incoming.empty():
            return b""
        return await self.incoming.get()

    async def text(self) -> str:
        """All of it, which must be little."""
        found = b""
        while chunk := await self.read():
            found += chunk
            assert len(found) < _MAX_TEXT_BYTES
        return found.decode()

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE_BYTES):
            await self._connection.send(frames.data(self.id, data[start : start + _PIECE_BYTES]))

    async def close_write(self) -> None:
        if not self._closed:
            self._closed = True
            await self._connection.send(frames.data(self.id, b"", fin=True))

    async def reset(self) -> None:
        await self._connection.send(frames.reset(self.id, Reset.CANCEL))


class Connection:
    """One SPDY connection, from the client's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._deflater, self._inflater = Deflater(), Inflater()
        self._streams: dict[int, Stream] = {}
        self._next_id = 1
        self._reading = asyncio.create_task(self._read(), name="SPDY client")

    @classmethod
    async def open(cls, url: str, protocols: Sequence[str]) -> "Connection":
        """Upgrade a POST. A refusal raises RuntimeFault with its text."""
        parts = urlsplit(url)
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            lines = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: Upgrade", "Upgrade: SPDY/3.1"]
            lines += [f"X-Stream-Protocol-Version: {name}" for name in protocols]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101 "):
                body = await reader.read(_MAX_TEXT_BYTES)
                writer.close()
                raise errors.RuntimeFault(f"{head.splitlines()[0].decode()}: {body.decode(errors='replace')}")
        return cls(reader, writer)

    async def stream(self, **headers: str) -> Stream:
        """Open a stream, and wait until the server has taken it. Raises InvalidArgument for one that it refuses."""
        stream = Stream(self, self._next_id)
        self._next_id += 2
        self._streams[stream.id] = stream
        block = self._deflater.block(headers)
        await self.send(frames.control(FrameKind.SYN_STREAM, struct.pack("!IIBB", stream.id, 0, 0, 0) + block))
        async with asyncio.timeout(CONNECT_SECONDS):
            await stream.accepted.wait()
        if stream.refused:
            raise errors.InvalidArgument(f"the runtime refused the stream {headers}")
        return stream

    async def send(self, frame: bytes) -> None:
        """Dropped once the server has gone."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(frame)
            await self._writer.drain()

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while True:
                header = frames.parse_header(await self._reader.readexactly(frames.HEADER_BYTES))
                payload = await self._reader.readexactly(header.length)
                if header.kind is None:
                    await self._take(header.stream_id, payload, end=bool(header.flags & FIN))
                elif header.kind is FrameKind.SYN_REPLY:
                    self._inflater.pairs(payload[4:])
                    opened = self._streams[frames.number(payload)]
                    opened.refused = bool(header.flags & FIN)  # so it says no: a reply that is the end
                    opened.accepted.set()
                elif header.kind is FrameKind.RST_STREAM:
                    if not (reset := self._streams[frames.number(payload)]).accepted.is_set():
                        reset.refused = True
                    await self._take(frames.number(payload), b"", end=True)
                elif header.kind is FrameKind.PING:
                    await self.send(frames.control(FrameKind.PING, payload))
                elif header.kind is FrameKind.GOAWAY:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for stream_id in self._streams:
                with contextlib.suppress(asyncio.QueueFull):
                    self._end(self._streams[stream_id])

    async def _take(self, stream_id: int, payload: bytes, *, end: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if payload:
            await stream.incoming.put(payload)
        if end and not stream.ended:
            stream.ended = True
            stream.accepted.set()
            await stream.incoming.put(b"")

    @staticmethod
    def _end(stream: Stream) -> None:
        if not stream.ended:
            stream.ended = True
            stream.accepted.set()
            stream.incoming.put_nowait(b"")


@dataclass(frozen=True, slots=True)
class RequestedStreams:
    """Which streams a request asked for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


class URLSession(StreamSession):
    """One exec or attach."""

    def __init__(self, connection: Connection, streams: dict[str, Stream]) -> None:
        self._connection = connection
        self._streams = streams

    @classmethod
    async def open(cls, url: str, wanted: RequestedStreams) -> "URLSession":
        connection = await Connection.open(url, _PROCESS_PROTOCOLS)
        chosen = {"error": True, "stdin": wanted.stdin, "stdout": wanted.stdout, "stderr": wanted.stderr}
        chosen["resize"] = wanted.tty
        try:
            streams = {name: await connection.stream(streamtype=name) for name, on in chosen.items() if on}
        except BaseException:
            await connection.close()
            raise
        return cls(connection, streams)

    @override
    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        merged: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(_QUEUE_LENGTH)

        async def pump(number: int, stream: Stream) -> None:
            while chunk := await stream.read():
                await merged.put((number, chunk))
            await merged.put((number, b""))

        sources = {number: name for number, name in ((1, "stdout"), (2, "stderr")) if name in self._streams}
        tasks = [asyncio.create_task(pump(number, self._streams[name])) for number, name in sources.items()]
        try:
            while sources:
                number, chunk = await merged.get()
                if chunk:
                    yield number, chunk
                else:
                    del sources[number]
        finally:
            for task in tasks:
                task.cancel()

    @override
    async def write_stdin(self, data: bytes) -> None:
        await self._streams["stdin"].write(data)

    @override
    async def close_stdin(self) -> None:
        await self._streams["stdin"].close_write()

    @override
    async def resize(self, width: int, height: int) -> None:
        if "resize" in self._streams:
            await self._streams["resize"].write(json.dumps({"Width": width, "Height": height}).encode())

    @override
    async def wait(self) -> int:
        """The exit code that the error stream tells. Raises RuntimeFault for an end of another kind."""
        text = await self._streams["error"].text()
        if not text:
            return 0
        status = json.loads(text)
        if status.get("status") == "Success":
            return 0
        for cause in (status.get("details") or {}).get("causes", ()):
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
        raise errors.RuntimeFault(status.get("message", text))

    @override
    async def close(self) -> None:
        await self._connection.close()


class URLPort(PortConnection):
    """One TCP connection to a port of a pod, as a pair of streams."""

    def __init__(self, connection: Connection, data: Stream, error: Stream) -> None:
        self._connection = connection
        self._data, self._error = data, error

    @classmethod
    async def open(cls, url: str, port: int) -> "URLPort":
        connection = await Connection.open(url, _PORT_PROTOCOLS)
        try:
            error = await connection.stream(streamtype="error", port=str(port), requestid="0")
            await error.close_write()
            data = await connection.stream(streamtype="data", port=str(port), requestid="0")
        except BaseException:
            await connection.close()
            raise
        return cls(connection, data, error)

    @override
    async def read(self, max_bytes: int) -> bytes:
        """Raises Unavailable at the end, where the runtime says that something went wrong."""
        if chunk := await self._data.read():
            return chunk
        if problem := await self._error.text():
            raise errors.Unavailable(problem)
        return b""

    @override
    async def write(self, data: bytes) -> None:
        await self._data.write(data)

    @override
    async def write_eof(self) -> None:
        await self._data.close_write()

    @override
    async def close(self) -> None:
        await self._connection.close()


class URLStreaming(LocalStreaming):
    """`LocalStreaming` over the URLs of a runtime."""

    def __init__(self, service: RuntimeService) -> None:
        self._service = service

    @override
    async def open_exec(self, request: cri.ExecRequest) -> StreamSession:
        url = (await self._service.exec(request)).url
        return await URLSession.open(url, RequestedStreams(request.stdin, request.stdout, request.stderr, request.tty))

    @override
    async def open_attach(self, request: cri.AttachRequest) -> StreamSession:
        url = (await self._service.attach(request)).url
        return await URLSession.open(url, RequestedStreams(request.stdin, request.stdout, request.stderr, request.tty))

    @override
    async def open_port(self, pod_sandbox_id: str, port: int) -> PortConnection:
        request = cri.PortForwardRequest(pod_sandbox_id=pod_sandbox_id, port=[port])
        return await URLPort.open((await self._service.port_forward(request)).url, port)
