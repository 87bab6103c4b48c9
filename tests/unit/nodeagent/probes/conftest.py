"""A clock that moves when told, and servers on the loopback."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest


@dataclass
class FakeHandle:
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class FakeTimers:
    """A monotonic clock for workers: time moves by `advance` only, and every due callback runs at its time."""

    now: float = 1000.0
    _heap: list[tuple[float, int, Callable[[], None], FakeHandle]] = field(default_factory=list)
    _count: int = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> FakeHandle:
        handle = FakeHandle()
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, callback, handle))
        return handle

    async def advance(self, seconds: float) -> None:
        """Move on, letting everything that comes due happen in between."""
        end = self.now + seconds
        await settle()
        while self._heap and self._heap[0][0] <= end:
            when, _, callback, handle = heapq.heappop(self._heap)
            if handle.cancelled:
                continue
            self.now = max(self.now, when)
            callback()
            await settle()
        self.now = end
        await settle()


async def settle() -> None:
    """Let every task run until it waits again."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def timers() -> FakeTimers:
    return FakeTimers()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A server on 127.0.0.1 that keeps what it was sent."""

    port: int
    requests: list[bytes] = field(default_factory=list)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """serve(*answers, hang=…, ssl=…): answers one request each, the last one again and again; then closes."""
    servers: list[asyncio.Server] = []
    release = asyncio.Event()

    async def start(*answers: bytes, hang: bool = False, ssl: object = None) -> Server:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.requests.append(await reader.readuntil(b"\r\n\r\n"))
            answer = answers[min(len(found.requests), len(answers)) - 1]
            writer.write(answer.replace(b"PORT", str(found.port).encode()))
            await writer.drain()
            if hang:
                await release.wait()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=ssl)
        servers.append(server)
        found = Server(port=server.sockets[0].getsockname()[1])
        return found

    yield start
    release.set()
    for server in servers:
        server.close()
        await server.wait_closed()
