"""Forward proxies as companies have them: HTTP CONNECT, with TLS or without, and SOCKS5, with a password or without.

async with connect_proxy(password="p") as proxy:      # proxy.url(), proxy.asked: "host:port" of each tunnel
"""

import asyncio
import base64
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

USER = "me"


@dataclass
class ProxyUnderTest:
    """`resolve`: what names lead to, as only the proxy knows it; other hosts are taken as they are."""

    scheme: str
    password: str = ""
    resolve: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def url(self, password: str | None = None) -> str:
        secret = self.password if password is None else password
        return f"{self.scheme}://{f'{USER}:{secret}@' if secret else ''}localhost:{self.port}"

    async def tunnel(
        self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes
    ) -> None:
        """Say `answer` and pass bytes on until either side ends."""
        self.asked.append(f"{host}:{port}")
        from_server, to_server = await asyncio.open_connection(self.resolve.get(host, host), port)
        writer.write(answer)
        ways = [asyncio.ensure_future(_pump(reader, to_server)), asyncio.ensure_future(_pump(from_server, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            to_server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def connect_proxy(
    password: str = "", tls: ssl.SSLContext | None = None, resolve: dict[str, str] | None = None
) -> AsyncIterator[ProxyUnderTest]:
    proxy = ProxyUnderTest("https" if tls else "http", password, resolve or {})
    wanted = "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        given = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        method, target, _ = first.split()
        if password and given.get("proxy-authorization") != wanted:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        assert method == "CONNECT"
        host, _, port = target.rpartition(":")
        await proxy.tunnel(host, int(port), reader, writer, b"HTTP/1.1 200 Connection established\r\n\r\n")

    async with _serving(proxy, serve, tls):
        yield proxy


@contextlib.asynccontextmanager
async def socks_proxy(password: str = "", resolve: dict[str, str] | None = None) -> AsyncIterator[ProxyUnderTest]:
    proxy = ProxyUnderTest("socks5", password, resolve or {})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        offered = await reader.readexactly(count)
        method = 2 if password else 0
        writer.write(bytes([5, method if method in offered else 0xFF]))
        if password:
            if method not in offered:
                return
            await reader.readexactly(1)
            good = [await _text(reader) for _ in range(2)] == [USER, password]
            writer.write(bytes([1, 0 if good else 1]))
            if not good:
                return
        kind = (await reader.readexactly(4))[3]
        if kind == 3:
            host = await _text(reader)
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2))
        await proxy.tunnel(host, port, reader, writer, b"\x05\x00\x00\x01" + socket.inet_aton("0.0.0.0") + b"\0\0")

    async with _serving(proxy, serve, None):
        yield proxy


async def _text(reader: asyncio.StreamReader) -> str:
    (size,) = await reader.readexactly(1)
    return (await reader.readexactly(size)).decode()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def _serving(proxy: ProxyUnderTest, serve: Serve, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
    tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks[task] = writer
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                await serve(reader, writer)
        finally:
            del tasks[task]
            writer.close()

    server = await asyncio.start_server(handle, "localhost", 0, family=socket.AF_INET, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        for writer in tasks.values():
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
