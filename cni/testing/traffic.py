"""Traffic between namespaces: a server tells every client who it is to it, so that address translation shows.

A socket stays in the namespace in which it was opened, so servers and clients of all namespaces are tasks of one event loop.
`None` as a namespace is the host's.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from runtimes.linux import syscalls

DEADLINE_SECONDS = 5.0
_MOST_BYTES = 65536
_HEADERS_BYTES = {socket.AF_INET: 20 + 8, socket.AF_INET6: 40 + 8}
# of <linux/in.h> and <linux/in6.h>: set "do not fragment", and refuse what is larger than the path
_MTU_DISCOVER = {socket.AF_INET: (socket.IPPROTO_IP, 10), socket.AF_INET6: (socket.IPPROTO_IPV6, 23)}
_ALWAYS = 2


def _opened(namespace: Path | None, make: Callable[[], socket.socket]) -> socket.socket:
    made = make() if namespace is None else syscalls.in_namespace(namespace, make)
    made.setblocking(False)
    return made


def _plain(address: str) -> str:
    """An IPv4 address as such, which sockets of both families show as one of IPv6."""
    return address.removeprefix("::ffff:")


@contextlib.asynccontextmanager
async def tcp_server(namespace: Path | None, port: int, name: str = "server") -> AsyncIterator[None]:
    """Answers "`name` CLIENT-ADDRESS" on every address of the namespace, from the beginning of the block on."""

    def listen() -> socket.socket:
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        return socket.create_server(("", port), family=family, dualstack_ipv6=dual)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{name} {_plain(writer.get_extra_info('peername')[0])}".encode())
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, sock=_opened(namespace, listen))
    async with server:
        yield


@contextlib.asynccontextmanager
async def udp_server(namespace: Path | None, port: int, name: str = "server") -> AsyncIterator[None]:
    """The same for datagrams."""

    def bind() -> socket.socket:
        dual = socket.has_dualstack_ipv6()
        made = socket.socket(socket.AF_INET6 if dual else socket.AF_INET, socket.SOCK_DGRAM)
        if dual:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(("", port))
        return made

    loop, bound = asyncio.get_running_loop(), _opened(namespace, bind)

    async def serve() -> None:
        while True:
            _, peer = await loop.sock_recvfrom(bound, _MOST_BYTES)
            await loop.sock_sendto(bound, f"{name} {_plain(peer[0])}".encode(), peer)

    serving = asyncio.create_task(serve())
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        bound.close()


async def ask(namespace: Path | None, address: str, port: int, *, udp: bool = False) -> str:
    """What the server at `address` says to a client in `namespace`. Raises OSError, TimeoutError among them."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    client = _opened(namespace, lambda: socket.socket(family, kind))
    loop = asyncio.get_running_loop()
    with contextlib.closing(client):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await loop.sock_connect(client, (address, port))
            if udp:
                await loop.sock_sendall(client, b"?")
            return (await loop.sock_recv(client, 1500)).decode()


@contextlib.asynccontextmanager
async def asker(namespace: Path | None) -> AsyncIterator[Callable[[str, int], Awaitable[str]]]:
    """A client of datagrams over IPv4 that asks again from the same port: a function of address and port, as `ask`."""
    client, loop = (
        _opened(namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
        asyncio.get_running_loop(),
    )

    async def again(address: str, port: int) -> str:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await loop.sock_sendto(client, b"?", (address, port))
            return (await loop.sock_recv(client, 1500)).decode()

    with contextlib.closing(client):
        yield again


async def ask_whole(namespace: Path | None, address: str, port: int, *, packet_bytes: int) -> str:
    """The same by one UDP packet of that size, headers counted, which nobody may cut in pieces.

    Raises OSError: EMSGSIZE where it is too large for the client's own interface, TimeoutError where it got lost.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = _opened(namespace, lambda: socket.socket(family, socket.SOCK_DGRAM))
    loop = asyncio.get_running_loop()
    with contextlib.closing(client):
        level, option = _MTU_DISCOVER[family]
        client.setsockopt(level, option, _ALWAYS)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await loop.sock_connect(client, (address, port))
            await loop.sock_sendall(client, bytes(packet_bytes - _HEADERS_BYTES[family]))
            return (await loop.sock_recv(client, 1500)).decode()
