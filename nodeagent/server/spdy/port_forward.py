"""Port-forward over SPDY: pairs of streams, one pair a TCP connection (docs/facts/api-client-and-server.md P.1)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from nodeagent.server.idle_timeout import IdleTimer
from nodeagent.server.ports import carry_port
from nodeagent.server.spdy.session import Session, Stream
from nodeagent.server.wire import Wire
from runtimes.contract import PortConnection
from runtimes.errors import RuntimeFault
from runtimes.kube.spdy.frames import Reset
from runtimes.kube.whole_number import whole_number
from runtimes.linux.tasks import end_tasks

PROTOCOL = "portforward.k8s.io"
PAIR_SECONDS = 30.0  # for the second stream of a pair to come


@dataclass(slots=True, eq=False)
class _Pair:
    port: int
    streams: dict[str, Stream] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class _DataStream:
    """A data stream as the client of a port."""

    stream: Stream

    async def read(self) -> bytes:
        return await self.stream.read()

    async def write(self, data: bytes) -> None:
        await self.stream.write(data)

    async def close_write(self) -> None:
        await self.stream.close_write()

    async def gone(self) -> None:
        """Reset: nothing is wanted any more, in either direction."""
        await self.stream.wait_reset()


class SPDYPorts:
    """One client's session. `describe(port, cause)`: the text of a failure."""

    def __init__(
        self,
        wire: Wire,
        connect: Callable[[int], Awaitable[PortConnection]],
        describe: Callable[[int, str], str],
        idle: IdleTimer,
    ) -> None:
        self._wire = wire
        self._connect = connect
        self._describe = describe
        self._idle = idle
        self._session = Session(wire, self._accept, idle)
        self._pairs: dict[str, _Pair] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Serve until the client goes, or nothing has happened for too long."""
        running = asyncio.create_task(self._session.run(), name="SPDY session")
        waiting = asyncio.create_task(self._idle.expired(), name="SPDY idle")
        try:
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._wire.abort()
            await end_tasks(running, waiting, *self._tasks)

    def _accept(self, stream: Stream) -> Reset | None:
        kind, port = stream.headers.get("streamtype", ""), whole_number(stream.headers.get("port", ""))
        if kind not in ("error", "data") or port is None or not 0 < port < 65536:
            return Reset.PROTOCOL_ERROR
        # very old clients give no id: their data stream is the next one after the error stream
        key = stream.headers.get("requestid") or str(stream.id if kind == "error" else stream.id - 2)
        pair = self._pairs.get(key)
        if pair is None:
            pair = self._pairs[key] = _Pair(port)
            task = asyncio.create_task(self._serve_pair(key, pair), name=f"port {port}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif kind in pair.streams:
            return Reset.PROTOCOL_ERROR
        pair.streams[kind] = stream
        if len(pair.streams) == 2:
            pair.complete.set()
        return None

    async def _serve_pair(self, key: str, pair: _Pair) -> None:
        try:
            problem = await self._carry(pair)
            if problem and "error" in pair.streams:
                await pair.streams["error"].write(problem.encode())
            elif problem:
                await pair.streams["data"].write(problem.encode())
            for stream in pair.streams.values():
                await stream.close_write()
            for stream in pair.streams.values():
                await stream.reset()
        except ConnectionResetError:
            pass  # the whole session is ending
        finally:
            self._pairs.pop(key, None)

    async def _carry(self, pair: _Pair) -> str:
        """Returns what went wrong."""
        try:
            async with asyncio.timeout(PAIR_SECONDS):
                await pair.complete.wait()
        except TimeoutError:
            return "timed out waiting for streams"
        try:
            await carry_port(_DataStream(pair.streams["data"]), lambda: self._connect(pair.port))
        except RuntimeFault as error:
            return self._describe(pair.port, error.message)
        return ""
