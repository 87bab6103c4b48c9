"""The grpc probe: grpc.health.v1.Health/Check over a plain connection. Source: docs/facts/pod-lifecycle.md 7.3."""

import asyncio

import grpc

from csi.errors import code_as_go
from nodeagent.probes.outcome import USER_AGENT, Outcome, address, failure, success
from proto.health_pb2 import HealthCheckRequest, HealthCheckResponse
from proto.health_pb2_grpc import HealthStub
from runtimes.kube.duration import go_duration

Status = HealthCheckResponse.ServingStatus
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
        health = HealthStub(channel)  # type: ignore[no-untyped-call]  # generated stubs have no types
        try:
            async with asyncio.timeout_at(deadline):
                answer: HealthCheckResponse = await health.Check(
                    HealthCheckRequest(service=service), timeout=timeout_seconds
                )
        except TimeoutError:
            return failure(f"timeout: health rpc did not complete within {limit}")
        except grpc.aio.AioRpcError as error:
            return failure(_failed(error, limit))
    if answer.status != Status.SERVING:
        return failure(f'service unhealthy (responded with "{_name(answer.status)}")')
    return success("service healthy")


def _name(status: int) -> str:
    """A server may answer with a number that has no name."""
    return Status.Name(status) if status in Status.values() else str(status)


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
            return f"error: health rpc probe failed: rpc error: code = {code_as_go(code.name)} desc = {error.details()}"
