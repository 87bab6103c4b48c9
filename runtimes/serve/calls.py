"""Verbs as gRPC methods: every method of a service's description, with errors as status codes."""

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import Message

from proto import cri_pb2 as cri
from runtimes import errors

log = logging.getLogger(__name__)

# Of a status's message: clients refuse answers whose metadata is larger than 8 KiB, and a character may take 9 bytes there.
_MAX_DETAILS = 800

Unary: TypeAlias = Callable[[Any], Awaitable[Message]]
Streamed: TypeAlias = Callable[[Any], AsyncIterator[Message]]
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# What only looks. Everything else changes something, or lets somebody into a container.
LOOKING = re.compile(
    r"Version|Status|RuntimeConfig|(List|Stream)\w+|(PodSandbox|Container|Image)Status|(Container|PodSandbox)Stats"
    r"|GetContainerEvents|ImageFsInfo"
)


class PermissionDenied(errors.RuntimeFault):
    """The socket is for looking only; the text says what to switch."""

    grpc_code = "PERMISSION_DENIED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A CRI service by its short name, and its verbs by the CRI's names. What is in neither table is UNIMPLEMENTED."""

    name: str
    unary: Mapping[str, Unary]
    streamed: Mapping[str, Streamed]


def status_code(fault: errors.RuntimeFault) -> grpc.StatusCode:
    return grpc.StatusCode[fault.grpc_code]


def handler(service: Service, denial: str | None) -> grpc.GenericRpcHandler:
    """`denial`: the answer to every verb that does more than look; None: all are carried out."""
    description = cri.DESCRIPTOR.services_by_name[service.name]
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method in description.methods:
        name = method.name
        parse = getattr(cri, method.input_type.name).FromString
        denied = denial if LOOKING.fullmatch(name) is None else None
        if method.server_streaming:
            methods[name] = grpc.unary_stream_rpc_method_handler(
                _streamed(name, _refusing_stream(name, denied) or service.streamed.get(name) or _lacking_stream(name)),
                request_deserializer=parse,
                response_serializer=_serialize,
            )
        else:
            methods[name] = grpc.unary_unary_rpc_method_handler(
                _unary(name, _refusing(name, denied) or service.unary.get(name) or _lacking(name)),
                request_deserializer=parse,
                response_serializer=_serialize,
            )
    return grpc.method_handlers_generic_handler(description.full_name, methods)


def _unary(name: str, verb: Unary) -> Callable[[Any, Context], Awaitable[Message]]:
    async def answer(request: Any, context: Context) -> Message:
        try:
            return await verb(request)
        except Exception as error:
            fault = _fault(name, error)
        await context.abort(status_code(fault), _details(fault))
        raise AssertionError("abort returned")

    return answer


def _streamed(name: str, verb: Streamed) -> Callable[[Any, Context], AsyncIterator[Message]]:
    async def answer(request: Any, context: Context) -> AsyncIterator[Message]:
        try:
            messages = verb(request)
            # the client's sign that it misses nothing from here on
            await context.send_initial_metadata(())
            async for message in messages:
                yield message
        except Exception as error:
            fault = _fault(name, error)
        else:
            return
        await context.abort(status_code(fault), _details(fault))

    return answer


def _fault(name: str, error: Exception) -> errors.RuntimeFault:
    if isinstance(error, errors.RuntimeFault):
        log.debug("%s: %s", name, error)
        return error
    log.error("%s failed", name, exc_info=error)
    return errors.Internal(f"{name}: {error or type(error).__name__}")


def _details(fault: errors.RuntimeFault) -> str:
    text = str(fault)
    return text if len(text) <= _MAX_DETAILS else f"{text[:_MAX_DETAILS]}…"


def _refusing(name: str, denial: str | None) -> Unary | None:
    if denial is None:
        return None

    async def refuse(_request: Any) -> Message:
        raise PermissionDenied(f"{name}: {denial}")

    return refuse


def _refusing_stream(name: str, denial: str | None) -> Streamed | None:
    if denial is None:
        return None

    def refuse(_request: Any) -> AsyncIterator[Message]:
        raise PermissionDenied(f"{name}: {denial}")

    return refuse


def _lacking(name: str) -> Unary:
    async def lack(_request: Any) -> Message:
        raise errors.NotSupported(f"{name} is not supported by this runtime")

    return lack


def _lacking_stream(name: str) -> Streamed:
    def lack(_request: Any) -> AsyncIterator[Message]:
        raise errors.NotSupported(f"{name} is not supported by this runtime")

    return lack


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
