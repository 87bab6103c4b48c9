"""A gRPC service of the agent on a unix socket that root alone may use."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from runtimes.linux.removal import remove_tree
from runtimes.linux.tasks import end_tasks, run_blocking
from runtimes.linux.unix_socket import SocketPath

if TYPE_CHECKING:
    import grpc.aio

_BACKEND = "s"
_BACKLOG = 64
_CHUNK_BYTES = 64 * 1024
_GRACE_SECONDS = 2.0
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
)
_MAX_DETAILS = 800  # characters: clients refuse answers whose metadata is larger than 8 KiB

Method: TypeAlias = Callable[[Any], Awaitable[Message]]
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
log = logging.getLogger(__name__)


class Refused(Exception):
    """The caller's mistake, or something that is not there; the text and the code are the answer."""

    def __init__(self, message: str, code: str = "UNKNOWN") -> None:
        super().__init__(message)
        self.code = code


class GRPCSocket:
    """`methods`: by name; what is not among them is UNIMPLEMENTED. `start` once, `stop` repeatable.

    gRPC takes 10 MB, which a node that nobody asks need not have: until somebody connects there is a plain socket. What comes
    there is passed on to the service, which listens beside it, in a folder of its own.
    """

    def __init__(self, path: Path, service: ServiceDescriptor, methods: Mapping[str, Method]) -> None:
        self._place = SocketPath(path)
        self._backend_folder = path.with_name(f".{path.name}.grpc")
        self._service = service
        self._methods = methods
        self._front: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()
        self._loading = asyncio.Lock()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Raises OSError, also where another server lives there."""
        try:
            draft = self._place.draft()
            with _short(draft.parent) as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
                listening.bind(f"{folder}/{draft.name}")
                listening.listen(_BACKLOG)
                self._front = await asyncio.start_unix_server(self._connected, sock=listening.dup())
            self._place.publish()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Take no more calls, give those under way a moment, then cut them off."""
        self._place.withdraw()
        front, self._front = self._front, None
        if front is not None:
            front.close()
        server, self._server = self._server, None
        if server is not None:
            await server.stop(_GRACE_SECONDS)
            await run_blocking(remove_tree, self._backend_folder)
        await end_tasks(*self._relays)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        try:
            async with self._loading:
                if self._server is None and self._front is not None:
                    self._server = await self._serve()
            with _short(self._backend_folder) as folder:
                there, back = await asyncio.open_unix_connection(f"{folder}/{_BACKEND}")
            try:
                await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
            finally:
                back.close()
        except OSError as error:
            log.warning("%s: a connection was cut off: %s", self._place.path, error)
        finally:
            writer.close()
            self._relays.discard(task)

    async def _serve(self) -> "grpc.aio.Server":
        """Raises OSError."""
        import grpc

        from runtimes.linux.grpc_server import grpc_server

        await run_blocking(remove_tree, self._backend_folder)  # of an agent that was killed
        self._backend_folder.mkdir(mode=0o700)
        server = grpc_server(_OPTIONS)
        handlers = {name: _handler(self._service, name, method) for name, method in self._methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(self._service.full_name, handlers),))
        try:
            with _short(self._backend_folder) as folder:
                server.add_insecure_port(f"unix:{folder}/{_BACKEND}")
        except RuntimeError as error:
            raise OSError(f"cannot listen beside {self._place.path}: {error}") from error
        await server.start()
        return server


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A path of the folder that leaves room for a name below it: gRPC takes none as long as the kernel does. Raises OSError."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until its end, which is passed on, too."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


def _handler(service: ServiceDescriptor, name: str, method: Method) -> Any:
    import grpc

    async def answer(request: Any, context: Context) -> Message:
        try:
            return await method(request)
        except Refused as refused:
            code, text = refused.code, str(refused)
        except Exception as error:
            log.exception("%s failed", name)
            code, text = "INTERNAL", f"{name}: {error or type(error).__name__}"
        await context.abort(grpc.StatusCode[code], text[:_MAX_DETAILS])
        raise AssertionError("abort returned")

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=GetMessageClass(service.methods_by_name[name].input_type).FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
