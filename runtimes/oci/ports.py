"""TCP connections to a port of a pod, made inside its network namespace."""

import asyncio
import socket
from pathlib import Path

from typing_extensions import override

from runtimes import errors
from runtimes.contract import PortConnection
from runtimes.linux import syscalls

_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


class SocketConnection(PortConnection):
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()

    @override
    async def read(self, max_bytes: int) -> bytes:
        try:
            return await self._loop.sock_recv(self._connection, max_bytes)
        except OSError:
            return b""  # reset by the other side, or closed by us

    @override
    async def write(self, data: bytes) -> None:
        """Raises Unavailable when the other side is gone."""
        try:
            await self._loop.sock_sendall(self._connection, data)
        except OSError as error:
            raise errors.Unavailable(f"the connection is broken: {error.strerror}") from error

    @override
    async def write_eof(self) -> None:
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError:
            return  # gone: nobody is left to be told

    @override
    async def close(self) -> None:
        self._connection.close()


async def open_port(net: Path | None, port: int, *, timeout_seconds: float) -> SocketConnection:
    """Connect to a port of the pod's loopback, IPv4 first. `net` None: the host's. Raises Unavailable, Timeout."""
    if not 0 < port < 65536:
        raise errors.InvalidArgument(f"{port} is not a port")
    refusals: list[str] = []
    for family, address in _ADDRESSES:
        try:
            connection = await asyncio.to_thread(_socket_inside, net, family)
        except OSError as error:
            refusals.append(f"{address}: {error.strerror}")
            continue
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.get_running_loop().sock_connect(connection, (address, port))
        except TimeoutError:
            connection.close()
            raise errors.Timeout(f"no connection to port {port} within {timeout_seconds:g}s") from None
        except OSError as error:
            connection.close()
            refusals.append(f"{address}: {error.strerror}")
        except BaseException:
            connection.close()
            raise
        else:
            return SocketConnection(connection)
    raise errors.Unavailable(f"failed to connect to localhost:{port} inside the pod's namespace, {'; '.join(refusals)}")


def _socket_inside(net: Path | None, family: int) -> socket.socket:
    """A socket belongs to the namespace it was made in, wherever it is used."""

    def make() -> socket.socket:
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        return made

    return make() if net is None else syscalls.in_namespace(net, make)
