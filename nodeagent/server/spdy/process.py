"""exec and attach over SPDY (docs/facts/api-client-and-server.md N)."""

import asyncio
import json

from typing_extensions import override

from nodeagent.server.exit_status import ExitStatus
from nodeagent.server.idle_timeout import IdleTimer
from nodeagent.server.process import STDERR, STDOUT, ProcessClient, RequestedStreams, terminal_size
from nodeagent.server.spdy.session import Session, Stream
from nodeagent.server.wire import Wire
from runtimes.contract import StreamSession
from runtimes.kube.spdy.frames import Reset
from runtimes.linux.tasks import end_tasks

PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
STREAMS_SECONDS = 30.0  # for a client to open its streams
_NAMES = {STDOUT: "stdout", STDERR: "stderr"}
_MAX_RESIZE_BYTES = 4096


class StreamsMissing(Exception):
    """The client did not open the streams that it asked for."""


class SPDYClient(ProcessClient):
    """One process's client: a stream for each of error, stdin, stdout, stderr, resize."""

    def __init__(self, wire: Wire, protocol: str, wanted: RequestedStreams, idle: IdleTimer) -> None:
        self._protocol = protocol
        self._streams: dict[str, Stream] = {}
        self._complete = asyncio.Event()
        self._strange = False
        self._session = Session(wire, self._accept, idle)
        self._running: asyncio.Task[None] | None = None
        self._wire = wire
        chosen = {"stdin": wanted.stdin, "stdout": wanted.stdout, "stderr": wanted.stderr}
        chosen["resize"] = wanted.tty and protocol in PROTOCOLS[:2]
        self._expected = {"error", *(name for name, on in chosen.items() if on)}

    async def open(self) -> None:
        """Returns when the client has opened all its streams. Raises StreamsMissing, after which all is closed."""
        self._running = asyncio.create_task(self._session.run(), name="SPDY session")
        complete = asyncio.create_task(self._complete.wait())
        try:
            await asyncio.wait({complete, self._running}, timeout=STREAMS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if self._strange or not self._complete.is_set():
                raise StreamsMissing("timed out waiting for client to create streams")
        finally:
            complete.cancel()

    async def aclose(self) -> None:
        """Drop the connection if it is still there; the session's task ends with it."""
        self._wire.abort()
        if self._running is not None:
            await end_tasks(self._running)

    def _accept(self, stream: Stream) -> Reset | None:
        kind = stream.headers.get("streamtype", "")
        if kind not in self._expected or kind in self._streams:
            self._strange = True
            self._complete.set()
            return Reset.PROTOCOL_ERROR
        self._streams[kind] = stream
        if self._streams.keys() == self._expected:
            self._complete.set()
        return None

    @override
    async def send(self, stream: int, data: bytes) -> None:
        found = self._streams.get(_NAMES.get(stream, ""))
        if found is not None:
            await found.write(data)

    @override
    async def finish(self, ending: ExitStatus) -> None:
        for name in _NAMES.values():
            if name in self._streams:
                await self._streams[name].close_write()
        error = self._streams["error"]
        text = ending.document if self._protocol == PROTOCOLS[0] else ending.text.encode()
        if text:
            await error.write(text)
        await error.close_write()
        await self._session.close()

    @override
    async def receive(self, session: StreamSession) -> None:
        assert self._running is not None
        tasks = [
            asyncio.create_task(pump(self._streams[name], session), name=f"stream {name}")
            for name, pump in (("stdin", _pump_stdin), ("resize", _pump_sizes))
            if name in self._streams
        ]
        try:
            await asyncio.wait({self._running})
        finally:
            await end_tasks(*tasks)


async def _pump_stdin(stream: Stream, session: StreamSession) -> None:
    while data := await stream.read():
        await session.write_stdin(data)
    await session.close_stdin()


async def _pump_sizes(stream: Stream, session: StreamSession) -> None:
    """A run of JSON documents, cut anywhere."""
    decoder = json.JSONDecoder()
    text = ""
    while data := await stream.read():
        text = (text + data.decode("latin-1")).lstrip()
        while text:
            try:
                document, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break
            text = text[end:].lstrip()
            if size := terminal_size(document):
                await session.resize(*size)
        if len(text) > _MAX_RESIZE_BYTES:
            return  # not what it should be
