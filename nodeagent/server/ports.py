"""Carry one TCP connection into a pod, whatever protocol the client speaks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from runtimes.contract import PortConnection
from runtimes.errors import RuntimeFault
from runtimes.linux.tasks import end_tasks

_PIECE_BYTES = 32 * 1024
# How long a client may go on once the pod has said its last. kubectl before 1.23 ends its side only when told of the end of the
# forwarding, so it is not waited for; containerd gives as long (docs/facts/api-client-and-server.md P.1).
_LINGER_SECONDS = 1.0


class PortClient(Protocol):
    """The client's side of one forwarded connection."""

    async def read(self) -> bytes:
        """b"" at the client's end."""
        ...

    async def write(self, data: bytes) -> None:
        """Raises ConnectionResetError."""
        ...

    async def close_write(self) -> None:
        """The pod sends no more. Raises ConnectionResetError."""
        ...

    async def gone(self) -> None:
        """Returns when the client takes nothing more."""
        ...


async def carry_port(client: PortClient, connect: Callable[[], Awaitable[PortConnection]]) -> None:
    """Until both directions have ended, the pod has and the client does not follow, or the client is gone.

    Raises RuntimeFault when there is no connection.
    """
    connection = await connect()
    both = asyncio.create_task(_both(client, connection), name="port")
    gone = asyncio.create_task(client.gone(), name="port client gone")
    try:
        await asyncio.wait({both, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_tasks(both, gone, then=connection.close)


async def _both(client: PortClient, connection: PortConnection) -> None:
    async with asyncio.TaskGroup() as tasks:
        to_client = tasks.create_task(_to_client(client, connection))
        to_pod = tasks.create_task(_to_pod(client, connection))
        await asyncio.wait({to_client})
        await asyncio.wait({to_pod}, timeout=_LINGER_SECONDS)
        to_pod.cancel()


async def _to_client(client: PortClient, connection: PortConnection) -> None:
    while data := await connection.read(_PIECE_BYTES):
        await client.write(data)
    await client.close_write()


async def _to_pod(client: PortClient, connection: PortConnection) -> None:
    try:
        while data := await client.read():
            await connection.write(data)
    except RuntimeFault:
        return  # the pod's side is gone; what it said before is still on its way to the client
    await connection.write_eof()


def forward_error(port: int, pod: str, uid: str, cause: str) -> str:
    return f"error forwarding port {port} to pod {pod}, uid {uid}: {cause}"
