"""The sockets of the resolver: UDP and TCP at one address, for the networks that it is meant for, within bounds."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Collection
from typing import Any, cast

from typing_extensions import override

from nodeagent.cluster_dns.askers import Askers, Bounds
from nodeagent.cluster_dns.resolver import Resolver
from runtimes.linux.sockets import allow_any_address
from runtimes.linux.tasks import Background

PORT = 53
# beyond, queries are dropped, and who asked asks again. What is relayed takes seconds where a name server is silent
QUERIES = Bounds(at_once=512, of_one_at_once=64, of_one_a_second=1000)
CONNECTIONS = Bounds(at_once=128, of_one_at_once=16)
IDLE_SECONDS = 10.0
DRAIN_SECONDS = 1.0
_LENGTH_BYTES = 2

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class DNSServer:
    """Serves `resolver` at `address`:`port`, to askers in `networks` alone: an open resolver would be lent to attackers.

    The address need not exist yet: a bridge comes with the first pod.
    """

    def __init__(self, resolver: Resolver, address: str, networks: Collection[Network], *, port: int = PORT) -> None:
        self._resolver = resolver
        self._address = address
        self._networks = tuple(networks)
        self._port = port
        self._work = Background()
        self._queries = Askers(QUERIES)
        self._connections = Askers(CONNECTIONS)
        self._writers: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Serve; gives the port. Raises OSError when the address cannot be had."""
        with contextlib.ExitStack() as sockets:
            stream = sockets.enter_context(_bound(self._address, self._port, socket.SOCK_STREAM))
            port = stream.getsockname()[1]
            datagrams = sockets.enter_context(_bound(self._address, port, socket.SOCK_DGRAM))
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Datagrams(self), sock=datagrams
            )
            server = await asyncio.start_server(self._connection, sock=stream)  # closes `stream` with itself
            try:
                yield port
            finally:
                server.close()
                transport.close()
                for writer in self._writers:
                    writer.close()
                await self._work.drain(DRAIN_SECONDS)

    def query_received(self, transport: asyncio.DatagramTransport, wire: bytes, sender: Any) -> None:
        """A query over UDP."""
        if self._may_ask(sender[0]) and self._queries.admit(sender[0]):
            self._work.spawn(self._answer(transport, wire, sender), "DNS query")

    async def _answer(self, transport: asyncio.DatagramTransport, wire: bytes, sender: Any) -> None:
        try:
            response = await self._resolver.respond(wire, tcp=False)
            if response is not None and not transport.is_closing():
                transport.sendto(response, sender)
        finally:
            self._queries.leave(sender[0])

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Queries over TCP, one after the other, until the asker is idle or gone."""
        peer = writer.get_extra_info("peername")  # none, if it has gone again
        if peer is None or not self._may_ask(peer[0]) or not self._connections.admit(peer[0]):
            writer.close()
            return
        self._writers.add(writer)
        try:
            with contextlib.suppress(TimeoutError, OSError, EOFError):
                while await self._one_query(reader, writer):
                    pass
        finally:
            self._writers.discard(writer)
            self._connections.leave(peer[0])
            writer.close()

    async def _one_query(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether it was one. Raises TimeoutError for an asker who is slower than he may be."""
        async with asyncio.timeout(IDLE_SECONDS):
            length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
            wire = await reader.readexactly(length)
        response = await self._resolver.respond(wire, tcp=True)
        if response is None:
            return False
        writer.write(len(response).to_bytes(_LENGTH_BYTES) + response)
        async with asyncio.timeout(IDLE_SECONDS):
            await writer.drain()
        return True

    def _may_ask(self, address: str) -> bool:
        asker = ipaddress.ip_address(address.partition("%")[0])
        return any(asker in network for network in self._networks)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DNSServer) -> None:
        self._server = server

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own transport is no subclass of its DatagramTransport before 3.12
        self._transport = cast(asyncio.DatagramTransport, transport)

    @override
    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._server.query_received(self._transport, data, addr)


def _bound(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        allow_any_address(made)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made
