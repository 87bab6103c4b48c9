"""The two calls that register a plugin. The agent is the client; a plugin may be slow, dead, or lie.

Source: docs/facts/storage.md 10.1.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import grpc.aio

from csi.errors import presentable
from nodeagent.plugin_registration.contract import HandshakeFailed, Plugin
from proto import pluginregistration_pb2 as wire
from proto.pluginregistration_pb2_grpc import RegistrationStub
from runtimes.linux import grpc_unix

CONNECT_SECONDS = 10.0
INFO_SECONDS = 1.0
NOTIFY_SECONDS = 5.0
_MAX_MESSAGE_BYTES = 64 * 1024
_OPTIONS = grpc_unix.options(_MAX_MESSAGE_BYTES)


class Handshake:
    """One plugin, connected."""

    def __init__(self, socket: Path, channel: grpc.aio.Channel) -> None:
        self._socket = socket
        self._stub = RegistrationStub(channel)  # type: ignore[no-untyped-call]  # generated stubs have no types

    async def ask(self) -> Plugin:
        """GetInfo. Raises HandshakeFailed."""
        with _told("failed to get plugin info using RPC GetInfo", self._socket):
            info: wire.PluginInfo = await self._stub.GetInfo(wire.InfoRequest(), timeout=INFO_SECONDS)
        return Plugin(
            type=info.type,
            name=info.name,
            endpoint=info.endpoint or str(self._socket),
            versions=tuple(info.supported_versions),
            socket=self._socket,
        )

    async def tell(self, *, registered: bool, error: str = "") -> None:
        """NotifyRegistrationStatus. Raises HandshakeFailed."""
        status = wire.RegistrationStatus(plugin_registered=registered, error=error)
        with _told("failed to send registration status", self._socket):
            await self._stub.NotifyRegistrationStatus(status, timeout=NOTIFY_SECONDS)


@contextlib.asynccontextmanager
async def connected(socket: Path, connect_seconds: float = CONNECT_SECONDS) -> AsyncIterator[Handshake]:
    """Raises HandshakeFailed."""
    async with grpc.aio.insecure_channel(grpc_unix.target(socket), options=_OPTIONS) as channel:
        try:
            async with asyncio.timeout(connect_seconds):
                await channel.channel_ready()
        except TimeoutError:
            raise HandshakeFailed(f"failed to dial socket {socket}: nobody answers in {connect_seconds:g}s") from None
        yield Handshake(socket, channel)


@contextlib.contextmanager
def _told(what: str, socket: Path) -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise HandshakeFailed(f"{what} at socket {socket}: {_words(error)}") from None


def _words(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name} {presentable(error.details() or '')}".strip()
