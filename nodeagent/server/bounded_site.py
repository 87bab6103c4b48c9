"""A listening port with a bound on its connections: whoever reaches it cannot take the process's descriptors.

Counted from accept on, before TLS. At the bound the oldest connection without a verified client certificate goes; where all have
one, the new connection is refused. Used by the node's endpoint and by the embedded API.
"""

import asyncio
import errno
import logging
import resource
import socket
import ssl
from collections.abc import Sequence

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

from runtimes.linux.sockets import allow_any_address

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 2000  # 43 kB each
RESERVED_DESCRIPTORS = 100  # the agent's own work goes on, however many unauthenticated clients there are
HANDSHAKE_SECONDS = 30.0
_PAUSE_SECONDS = 1.0
_BACKLOG = 1024


def connection_bound(descriptors: int | None = None) -> int:
    """How many connections one port of a process with that many descriptors may have. Default: this process's soft limit."""
    if descriptors is None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(8, min(MOST_CONNECTIONS, (descriptors - RESERVED_DESCRIPTORS) // 2))


def _bind(listener: socket.socket, address: tuple[object, ...]) -> None:
    """Raises OSError that names the address, as asyncio's servers do."""
    try:
        listener.bind(address)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OSError(error.errno, f"error while attempting to bind on address {address}: {reason}") from None


class BoundedSite(web.BaseSite):
    """As `web.TCPSite`, with `bound` connections at most."""

    def __init__(
        self,
        runner: web.BaseRunner,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        bound: int | None = None,
        any_time: bool = False,
    ) -> None:
        """`any_time`: also at an address that this machine does not have yet."""
        super().__init__(runner, ssl_context=tls, backlog=_BACKLOG)
        self._host, self._port = host, port
        self._any_time = any_time
        self._bound = connection_bound() if bound is None else bound
        self._listeners: list[socket.socket] = []
        self._arriving: dict[socket.socket, asyncio.Task[None]] = {}  # until TLS is set up
        self._handlers: dict[socket.socket, RequestHandler] = {}  # of those; it may be served before we hear of it
        self._known: set[RequestHandler] = set()  # showed a certificate of the CA's

    @property
    @override
    def name(self) -> str:
        return f"{'https' if self._ssl_context else 'http'}://{self._host}:{self._port}"

    @override
    async def start(self) -> None:
        """Raises OSError (port in use)."""
        await super().start()
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(self._host or None, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(infos):
                listener = socket.socket(family, socket.SOCK_STREAM)
                self._listeners.append(listener)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                if self._any_time:
                    allow_any_address(listener)
                _bind(listener, address)
                listener.listen(_BACKLOG)
                listener.setblocking(False)
        except OSError:
            self.close()
            raise
        self._server = _Server(self)  # type: ignore[assignment]  # what the runner needs of one
        self._listen()

    @property
    def sockets(self) -> Sequence[socket.socket]:
        return self._listeners

    def close(self) -> None:
        """No more connections; those that have arrived are the runner's."""
        for listener in self._listeners:
            if listener.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(listener)
                listener.close()
        for task in self._arriving.values():
            task.cancel()

    # -- connections ---------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        for listener in self._listeners:
            if listener.fileno() >= 0:
                asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._out_of_descriptors(error)
            return
        connection.setblocking(False)
        if self._count() >= self._bound and not self._make_room():
            connection.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(connection), name=f"connection to {self.name}")
        self._arriving[connection] = task
        task.add_done_callback(lambda _: self._forget(connection))

    def _out_of_descriptors(self, error: OSError) -> None:
        """Others of this process took them: a connection less, and a pause, in which the kernel keeps who comes waiting."""
        if error.errno in (errno.EMFILE, errno.ENFILE):
            self._make_room()
        log.warning("%s: cannot accept connections for the moment: %s", self.name, error)
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
        loop.call_later(_PAUSE_SECONDS, self._listen)

    async def _serve(self, connection: socket.socket) -> None:
        """Until the connection is set up; an unauthenticated client's errors are its own."""
        server = self._runner.server
        assert server is not None
        loop = asyncio.get_running_loop()
        handshake = HANDSHAKE_SECONDS if self._ssl_context is not None else None

        def arrived() -> RequestHandler:
            self._handlers[connection] = handler = server()
            return handler

        try:
            transport, handler = await loop.connect_accepted_socket(
                arrived, connection, ssl=self._ssl_context, ssl_handshake_timeout=handshake
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            log.debug("%s: no connection: %s", self.name, error)
            connection.close()
            return
        except BaseException:
            connection.close()
            raise
        self._known &= set(server.connections)
        if _is_known(transport):
            self._known.add(handler)

    def _forget(self, connection: socket.socket) -> None:
        """It does not arrive any more: it is served, or has gone."""
        self._arriving.pop(connection, None)
        self._handlers.pop(connection, None)

    def _count(self) -> int:
        server = self._runner.server
        assert server is not None
        served = set(server.connections)
        return len(served) + sum(self._handlers.get(connection) not in served for connection in self._arriving)

    def _make_room(self) -> bool:
        """End the oldest connection of an unauthenticated client: one that is served before one that only arrives."""
        server = self._runner.server
        assert server is not None
        for handler in server.connections:
            transport = handler.transport
            if handler not in self._known and transport is not None and not transport.is_closing():
                transport.abort()
                return True
        for connection, task in list(self._arriving.items()):
            self._forget(connection)
            task.cancel()
            return True
        return False


def _is_known(transport: asyncio.BaseTransport) -> bool:
    """Whether TLS has verified a certificate of the client."""
    return bool(transport.get_extra_info("peercert"))


class _Server:
    """What a runner asks of the server behind a site."""

    def __init__(self, site: BoundedSite) -> None:
        self._site = site

    @property
    def sockets(self) -> Sequence[socket.socket]:
        return self._site.sockets

    def close(self) -> None:
        self._site.close()

    async def wait_closed(self) -> None:
        """Closed at once."""
