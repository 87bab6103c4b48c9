"""The gRPC connection of one call (`csi.endpoint`): loaded with the first."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from pathlib import Path
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from csi import errors
from runtimes.linux import grpc_unix

Answer = TypeVar("Answer", bound=Message)


@contextlib.asynccontextmanager
async def connected(path: Path, method: str, deadline_seconds: float) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to the unix socket. `method`: for errors. Raises Unreachable."""
    async with grpc.aio.insecure_channel(grpc_unix.target(path), options=grpc_unix.options()) as channel:
        state = channel.get_state(try_to_connect=True)
        try:
            async with asyncio.timeout(deadline_seconds):
                while state is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        raise errors.Unreachable(f"nobody listens on {path}", method=method)
                    await channel.wait_for_state_change(state)
                    state = channel.get_state(try_to_connect=True)
        except TimeoutError:
            text = f"{path} does not speak gRPC within {deadline_seconds:g}s"
            raise errors.Unreachable(text, method=method) from None
        yield channel


async def ask(
    channel: grpc.aio.Channel,
    path: str,
    request: Message,
    answer: type[Answer],
    *,
    deadline_seconds: float,
    secrets: Iterable[str],
) -> Answer:
    """Send a request to `path`, `/csi.v1.Service/Method`. `secrets`: what no error may show. Raises CSIError."""
    method = path.rpartition("/")[2]
    invoke = channel.unary_unary(path, request_serializer=_serialize, response_deserializer=bytes)
    call = invoke(request, timeout=deadline_seconds)
    try:
        data = await call
    except grpc.aio.AioRpcError as error:
        raise errors.of_status(
            error.code().name, error.details() or "", method=method, secrets=secrets
        ) from None  # grpc's own text has the driver's words as they came
    except asyncio.CancelledError:
        call.cancel()
        raise
    return _read(data, answer, method)


async def listen(
    channel: grpc.aio.Channel,
    path: str,
    request: Message,
    answer: type[Answer],
    *,
    deadline_seconds: float,
    secrets: Iterable[str],
) -> AsyncGenerator[Answer, None]:
    """As `ask`, of a call that is answered by many messages. Raises CSIError, also after some of them."""
    method = path.rpartition("/")[2]
    invoke = channel.unary_stream(path, request_serializer=_serialize, response_deserializer=bytes)
    call = invoke(request, timeout=deadline_seconds)
    try:
        async for data in call:
            yield _read(data, answer, method)
    except grpc.aio.AioRpcError as error:
        raise errors.of_status(error.code().name, error.details() or "", method=method, secrets=secrets) from None
    finally:
        call.cancel()


def _read(data: bytes, answer: type[Answer], method: str) -> Answer:
    result = answer()
    try:
        result.ParseFromString(data)
    except DecodeError:
        raise errors.BadAnswer(f"the answer is no {answer.__name__}", method=method) from None
    return result


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
