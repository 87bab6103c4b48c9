"""A port with a bound on its connections."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from nodeagent.server import bounded_site
from nodeagent.server.bounded_site import BoundedSite, connection_bound


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[int], Any]]:
    """serve(bound) -> (host, port)."""
    runners: list[web.AppRunner] = []

    async def make(bound: int) -> tuple[str, int]:
        application = web.Application()
        application.add_routes([web.get("/", hello)])
        runner = web.AppRunner(application, shutdown_timeout=1)
        await runner.setup()
        runners.append(runner)
        await BoundedSite(runner, "127.0.0.1", 0, bound=bound).start()
        host, port = runner.addresses[0]
        return host, port

    yield make
    for runner in runners:
        await runner.cleanup()


async def ask(address: tuple[str, int]) -> bytes:
    """b"" when the connection is refused or ended."""
    writer = None
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        return (await reader.read()).rpartition(b"\r\n\r\n")[2]
    return b""


async def ended(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20):
            return await reader.read() == b""
    return True


async def test_the_oldest_stranger_goes(serve: Callable[[int], Any]) -> None:
    """At the bound a new connection is served, and the one that said nothing for the longest is ended."""
    address = await serve(3)
    idle = [await asyncio.open_connection(*address) for _ in range(3)]
    await asyncio.sleep(0.05)  # all are accepted
    assert await ask(address) == b"hello"
    assert await ended(idle[0][0])
    assert not idle[2][0].at_eof()
    for _ in range(20):
        assert await ask(address) == b"hello"
    for _, writer in idle:
        writer.close()


async def test_no_connection_of_a_known_client_is_taken_for_a_stranger(
    serve: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who showed a certificate keeps the connection; where all have, who comes is refused."""
    monkeypatch.setattr(bounded_site, "_is_known", lambda transport: True)
    address = await serve(2)
    known = [await asyncio.open_connection(*address) for _ in range(2)]
    for reader, writer in known:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readuntil(b"hello")
    assert await ask(address) == b""
    assert not any(reader.at_eof() for reader, _ in known)
    known[0][1].close()
    await known[0][1].wait_closed()
    await asyncio.sleep(0.05)
    assert await ask(address) == b"hello"
    known[1][1].close()


async def test_out_of_descriptors(serve: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepting pauses, a stranger's connection is given up, and the port is served again."""
    monkeypatch.setattr(bounded_site, "_PAUSE_SECONDS", 0.05)
    address = await serve(10)
    idle, idle_writer = await asyncio.open_connection(*address)
    await asyncio.sleep(0.05)
    accept, failures = socket.socket.accept, [errno.EMFILE, errno.ENFILE]

    def failing(self: socket.socket) -> Any:
        if failures:
            raise OSError(failures.pop(), "too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", failing)
    assert await ask(address) == b"hello"
    assert failures == []
    assert await ended(idle)
    idle_writer.close()


async def test_a_port_in_use_is_an_error(serve: Callable[[int], Any]) -> None:
    """In the words of any asyncio server, with the address."""
    _, port = await serve(1)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    with pytest.raises(OSError, match=rf"bind on address \('127.0.0.1', {port}\): address already in use"):
        await BoundedSite(runner, "127.0.0.1", port).start()
    await runner.cleanup()


@pytest.mark.parametrize(("descriptors", "bound"), [(64, 8), (160, 30), (1024, 462), (1_000_000, 2000), (-1, 2000)])
def test_the_bound_leaves_descriptors(descriptors: int, bound: int) -> None:
    """Two such ports and the reserve fit into what the process may have."""
    assert connection_bound(descriptors) == bound
