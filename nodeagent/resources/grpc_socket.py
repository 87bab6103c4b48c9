"""A gRPC service of the agent on a unix socket that root alone may use."""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from runtimes.linux.unix_socket import SocketPath

if TYPE_CHECKING:
    import grpc.aio

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
    """`methods`: by name; what is not among them is UNIMPLEMENTED. `start` once, `stop` repeatable."""

    def __init__(self, path: Path, service: ServiceDescriptor, methods: Mapping[str, Method]) -> None:
        self._place = SocketPath(path)
        self._service = service
        self._methods = methods
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Raises OSError, also where another server lives there."""
        import grpc.aio

        server = grpc.aio.server(options=_OPTIONS)
        handlers = {name: _handler(self._service, name, method) for name, method in self._methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(self._service.full_name, handlers),))
        try:
            draft = self._place.draft()
            folder = os.open(draft.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # gRPC takes no path as long as the kernel does
                server.add_insecure_port(f"unix:/proc/self/fd/{folder}/{draft.name}")
            except RuntimeError as error:
                raise OSError(f"cannot listen on {self._place.path}: {error}") from error
            finally:
                os.close(folder)
            await server.start()
            self._place.publish()
        except BaseException:
            await server.stop(None)
            self._place.withdraw()
            raise
        self._server = server

    async def stop(self) -> None:
        """Take no more calls, give those under way a moment, then cut them off."""
        server, self._server = self._server, None
        if server is not None:
            self._place.withdraw()
            await server.stop(_GRACE_SECONDS)


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
