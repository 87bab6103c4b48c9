"""Servers on the loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

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
