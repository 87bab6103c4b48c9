"""One gRPC endpoint on a unix socket: calls with deadlines, whose failures are the errors of `runtimes.errors`."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from runtimes import deadlines, errors
from runtimes.deadlines import Deadline, default_deadline
from runtimes.linux import grpc_unix
from runtimes.trace_context import TRACE_HEADERS

_SCHEME = "unix://"
# A socket that comes back is found within a second, and one that accepts has some seconds to speak HTTP/2 (that is what
# `min_reconnect_backoff` means: a busy peer needs more than an instant).
CONNECT_SECONDS = 5.0
_OPTIONS = (
    *grpc_unix.options(),
    ("grpc.max_send_message_length", grpc_unix.MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", int(CONNECT_SECONDS * 1000)),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

_KINDS: tuple[type[errors.RuntimeFault], ...] = (
    errors.InvalidArgument,
    errors.NotSupported,
    errors.NotFound,
    errors.AlreadyExists,
    errors.WrongState,
    errors.Unavailable,
    errors.Timeout,
    errors.ResourceExhausted,
    errors.Internal,
)
_CLASSES: dict[str, type[errors.RuntimeFault]] = {
    **{kind.grpc_code: kind for kind in _KINDS},
    # codes without a class of their own: the class that says the same of what the caller may do
    "OUT_OF_RANGE": errors.InvalidArgument,
    "CANCELLED": errors.Unavailable,
    "ABORTED": errors.Unavailable,
    "DATA_LOSS": errors.Internal,
}

Request = TypeVar("Request", bound=Message, contravariant=True)
Response = TypeVar("Response", bound=Message, covariant=True)
Item = TypeVar("Item")


class Verb(Protocol[Request, Response]):
    """A CRI call: request in, response out. Raises RuntimeFault."""

    async def __call__(self, request: Request) -> Response: ...


def translate(error: grpc.aio.AioRpcError, method: str) -> errors.RuntimeFault:
    """The fault that a gRPC status is; an unknown code is a plain RuntimeFault."""
    message = error.details() or f"{method}: {error.code().name}"
    return _CLASSES.get(error.code().name, errors.RuntimeFault)(message)


class Endpoint:
    """The connection to one socket. It is made when it is first used, and again by itself after a break."""

    def __init__(self, address: str) -> None:
        """`address`: unix:///path. Raises ValueError for another."""
        if not address.startswith(f"{_SCHEME}/"):
            raise ValueError(
                f"endpoint: {address!r} is not a unix socket such as unix:///run/containerd/containerd.sock"
            )
        self.address = address
        self._open: grpc.aio.Channel | None = None

    @property
    def _channel(self) -> grpc.aio.Channel:
        # made late: a channel belongs to the event loop that is running
        if self._open is None:
            self._open = grpc.aio.insecure_channel(self.address, options=_OPTIONS)
        return self._open

    async def close(self) -> None:
        """Repeatable; calls under way end with Unavailable."""
        channel, self._open = self._open, None
        if channel is not None:
            await channel.close(grace=None)

    def verb(
        self,
        method: str,
        response: Callable[[], Response],
        deadline: Deadline = default_deadline,
    ) -> Verb[Any, Response]:
        """A call of `method` (`/package.Service/Method`); `response` is its message class."""
        parse = _parser(response)

        async def call(request: Message) -> Response:
            invoke = self._channel.unary_unary(method, request_serializer=_serialize, response_deserializer=parse)
            started = invoke(request, timeout=deadline(request), metadata=TRACE_HEADERS.get())
            answer: Response = await self._answer(started, method)
            return answer

        return call

    def listing(
        self,
        method: str,
        response: Callable[[], Response],
        streamed: Callable[[], Message],
        stream: str,
    ) -> Verb[Any, Response]:
        """The same of a verb that lists. An answer that is larger than a message may be is asked for again in pieces.

        `stream`: the method that gives it so, from a request with the same fields; `streamed`: its message class, which like
        `response` has one field, the list. A peer without that method gives its first error.
        """
        plain = self.verb(method, response)
        field, piece_field = (kind().DESCRIPTOR.fields[0].name for kind in (response, streamed))

        async def call(request: Message) -> Response:
            try:
                return await plain(request)
            except errors.ResourceExhausted as too_large:
                whole = response()
                try:
                    async with asyncio.timeout(deadlines.DEFAULT_SECONDS):
                        async for piece in self._pieces(stream, _serialize(request), _parser(streamed)):
                            getattr(whole, field).extend(getattr(piece, piece_field))
                except TimeoutError:
                    raise errors.Timeout(f"{stream}: no end within {deadlines.DEFAULT_SECONDS:g}s") from None
                except errors.NotSupported:
                    raise too_large from None
                return whole

        return call

    async def _answer(self, call: Any, method: str) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise translate(error, method) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                call.cancel()
                raise
            raise errors.Unavailable(f"{method}: the connection to {self.address} was closed") from None

    async def stream(self, method: str, request: bytes, parse: Callable[[bytes], Item]) -> AsyncGenerator[Item, None]:
        """Messages of a server stream as they come, without an end of its own. Raises Unavailable when it breaks off."""
        async with contextlib.aclosing(self._pieces(method, request, parse)) as pieces:
            async for message in pieces:
                yield message
        raise errors.Unavailable(f"{method}: the stream ended")

    async def _pieces(self, method: str, request: bytes, parse: Callable[[bytes], Item]) -> AsyncGenerator[Item, None]:
        """Messages of a server stream until its end."""
        invoke = self._channel.unary_stream(method, request_serializer=bytes, response_deserializer=parse)
        call = invoke(request, metadata=TRACE_HEADERS.get())
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise translate(error, method) from error
        finally:
            call.cancel()


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _parser(response: Callable[[], Response]) -> Callable[[bytes], Response]:
    def parse(data: bytes) -> Response:
        message = response()
        message.ParseFromString(data)
        return message

    return parse
