"""The gRPC server: both services of the CRI on one unix socket."""

from collections.abc import Iterable
from pathlib import Path

import grpc.aio

from runtimes import errors
from runtimes.linux.grpc_server import grpc_server
from runtimes.linux.unix_socket import SCHEME, AddressTaken, SocketPath
from runtimes.registry import RuntimeRegistry
from runtimes.serve.calls import handler
from runtimes.serve.image_verbs import ImageVerbs
from runtimes.serve.older_peer import Feature, older
from runtimes.serve.router import Router
from runtimes.serve.runtime_verbs import RuntimeVerbs
from runtimes.serve.streams import StreamingURLs

_GRACE_SECONDS = 5.0
# a kubelet's own limit for what it sends and takes
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
)


class CRIServer:
    """Serves started runtimes; what becomes of them is their owner's business. `start` once, `stop` repeatable.

    `denial`: what every verb is answered that does more than look; None: a client may do everything. `without`: what an older
    peer has not.
    """

    def __init__(
        self,
        path: Path,
        runtimes: RuntimeRegistry,
        *,
        streams: StreamingURLs,
        version: str,
        denial: str | None = None,
        without: Iterable[Feature] = (),
    ) -> None:
        router = Router(runtimes)
        self._runtime_verbs = RuntimeVerbs(router, streams, version)
        self._services = (older(self._runtime_verbs.service(), without), ImageVerbs(router).service())
        self._denial = denial
        self._place = SocketPath(path)
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Raises AlreadyExists (a live server, a file that is no socket), OSError."""
        server = grpc_server(_OPTIONS)
        server.add_generic_rpc_handlers(tuple(handler(service, self._denial) for service in self._services))
        try:
            draft = self._place.draft()
            try:
                server.add_insecure_port(f"{SCHEME}{draft}")
            except RuntimeError as error:
                raise errors.Unavailable(f"cannot listen on {self._place.path}: {error}") from error
            await server.start()
            self._place.publish()
        except AddressTaken as error:
            await self._give_up(server)
            raise errors.AlreadyExists(str(error)) from error
        except BaseException:
            await self._give_up(server)
            raise
        self._server = server

    async def _give_up(self, server: grpc.aio.Server) -> None:
        await server.stop(None)
        self._place.withdraw()

    async def stop(self) -> None:
        """Take no more calls, give those under way a moment, then cut them off."""
        server, self._server = self._server, None
        if server is None:
            return
        self._place.withdraw()
        self._runtime_verbs.events.close()
        await server.stop(_GRACE_SECONDS)
