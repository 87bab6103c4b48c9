"""The grpc probe: grpc.health.v1.Health/Check over a plain connection. Source: facts/pod-lifecycle.md 7.3.

The two messages have one field each, so they are written and read by hand.
"""

import asyncio

import grpc

from nodeagent.probes.outcome import USER_AGENT, Outcome, address, failure, success
from runtimes.kube.duration import go_duration

METHOD = "/grpc.health.v1.Health/Check"
SERVING = 1
_STATUS_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_OPTIONS = (
    ("grpc.primary_user_agent", USER_AGENT),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own for every probe
)


async def probe_grpc(host: str, port: int, service: str, *, timeout_seconds: float) -> Outcome:
    """Ask the server for the health of `service` ("": of the server as a whole)."""
    target = address(host, port)
    limit = go_duration(timeout_seconds)
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
        try:
            async with asyncio.timeout_at(deadline):
                await channel.channel_ready()
        except TimeoutError:
            return failure(f'timeout: failed to connect service "{target}" within {limit}: context deadline exceeded')
        check = channel.unary_unary(METHOD, request_serializer=encode_request, response_deserializer=decode_response)
        try:
            async with asyncio.timeout_at(deadline):
                status: int = await check(service, timeout=timeout_seconds)
        except TimeoutError:
            return failure(f"timeout: health rpc did not complete within {limit}")
        except grpc.aio.AioRpcError as error:
            return failure(_failed(error, limit))
    if status != SERVING:
        return failure(f'service unhealthy (responded with "{_STATUS_NAMES.get(status, str(status))}")')
    return success("service healthy")


def encode_request(service: str) -> bytes:
    """HealthCheckRequest: field 1, string `service`."""
    raw = service.encode()
    return b"\x0a" + _varint(len(raw)) + raw if raw else b""


def decode_response(raw: bytes) -> int:
    """HealthCheckResponse: field 1, enum `status`; absent: UNKNOWN. Raises ValueError."""
    status, position = 0, 0
    while position < len(raw):
        tag, position = _read_varint(raw, position)
        if tag & 7 == 0:
            value, position = _read_varint(raw, position)
            status = value if tag >> 3 == 1 else status
        elif tag & 7 == 2:
            length, position = _read_varint(raw, position)
            position += length
        else:
            raise ValueError(f"unexpected wire type {tag & 7}")
    return status


def _failed(error: grpc.aio.AioRpcError, limit: str) -> str:
    match error.code():
        case grpc.StatusCode.UNIMPLEMENTED:
            return (
                "error: this server does not implement the grpc health protocol "
                f"(grpc.health.v1.Health): {error.details()}"
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"timeout: health rpc did not complete within {limit}"
        case code:
            name = "".join(word.title() for word in code.name.split("_"))
            return f"error: health rpc probe failed: rpc error: code = {name} desc = {error.details()}"


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(raw):
            raise ValueError("message ends in the middle of a number")
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
