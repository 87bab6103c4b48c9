"""A DRA driver behind its socket. Source: docs/facts/node-resources.md 12.3."""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

from csi.errors import code_as_go
from proto import dra_health_pb2 as health
from proto import dra_pb2 as api
from runtimes.linux import grpc_unix

CALL_SECONDS = 45.0
V1, V1BETA1, HEALTH = "v1.DRAPlugin", "v1beta1.DRAPlugin", "v1alpha1.DRAResourceHealth"
_SERVICES = {V1: "k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin", V1BETA1: "k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin"}
_OPTIONS = (*grpc_unix.options(), ("grpc.initial_reconnect_backoff_ms", 100))
_Answer = TypeVar("_Answer", bound=Message)
_PREPARE, _UNPREPARE = "NodePrepareResources", "NodeUnprepareResources"


class DriverError(Exception):
    """The driver has refused, or does not answer."""


class NoHealth(Exception):
    """The driver tells nothing of its devices' health."""


class CallObserver(Protocol):
    """Hears of every call to a driver. `code`: of gRPC's answer, `OK`. Raises nothing."""

    def __call__(self, driver: str, method: str, code: str, seconds: float) -> None: ...


class Driver:
    """One run of a driver. `versions`: as it registered. Calls raise DriverError."""

    def __init__(self, name: str, socket: Path, versions: Sequence[str], observe: CallObserver) -> None:
        import grpc.aio  # 10 MB that a node without drivers does without

        self.name = name
        self._service = _SERVICES[V1 if V1 in versions else V1BETA1]
        self._observe = observe
        self._channel = grpc.aio.insecure_channel(grpc_unix.target(socket), options=_OPTIONS)

    async def prepare(self, claims: Sequence[api.Claim]) -> dict[str, api.NodePrepareResourceResponse]:
        """By the claim's UID: one answer for each claim, none of them an error. Repeatable."""
        request = api.NodePrepareResourcesRequest(claims=claims)
        answer = await self._call(_PREPARE, request, api.NodePrepareResourcesResponse)
        _check(_PREPARE, claims, {uid: each.error for uid, each in answer.claims.items()})
        return dict(answer.claims)

    async def unprepare(self, claims: Sequence[api.Claim]) -> None:
        """Nothing of these claims is on the node any more. Repeatable."""
        request = api.NodeUnprepareResourcesRequest(claims=claims)
        answer = await self._call(_UNPREPARE, request, api.NodeUnprepareResourcesResponse)
        _check(_UNPREPARE, claims, {uid: each.error for uid, each in answer.claims.items()})

    async def watch_health(self) -> AsyncIterator[Iterable[health.DeviceHealth]]:
        """All devices, at every change, until the driver ends the stream. Raises NoHealth: it has none."""
        import grpc
        import grpc.aio

        call = self._channel.unary_stream(
            f"/{HEALTH}/NodeWatchResources",
            request_serializer=_serialize,
            response_deserializer=health.NodeWatchResourcesResponse.FromString,
        )
        try:
            async for answer in call(health.NodeWatchResourcesRequest()):
                yield answer.devices
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                raise NoHealth from None
            raise DriverError(_words(error)) from error

    async def close(self) -> None:
        """Calls under way end with DriverError. Repeatable."""
        await self._channel.close(grace=None)

    async def _call(self, method: str, request: Message, answer: Callable[[], _Answer]) -> _Answer:
        import grpc.aio

        parse: Any = getattr(answer, "FromString")  # noqa: B009  # a message class, by its constructor
        call = self._channel.unary_unary(
            f"/{self._service}/{method}", request_serializer=_serialize, response_deserializer=parse
        )
        begin, code = time.monotonic(), "CANCELLED"
        try:
            found: _Answer = await call(request, timeout=CALL_SECONDS)
            code = "OK"
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            raise DriverError(f"{method}: {_words(error)}") from error
        finally:
            self._observe(self.name, method, code, time.monotonic() - begin)
        return found


def _check(method: str, asked: Sequence[api.Claim], errors: dict[str, str]) -> None:
    """Raises DriverError: for a claim that failed, was not asked for, or was left out."""
    names = {claim.uid: claim.name for claim in asked}
    for uid, error in errors.items():
        if uid not in names:
            raise DriverError(f"{method} returned result for unknown claim UID {uid}")
        if error:
            raise DriverError(f"{method} failed for ResourceClaim {names[uid]}: {error}")
    if missing := len(names) - len(errors):
        raise DriverError(f"{method} skipped {missing} ResourceClaims")


def _words(error: Any) -> str:
    """As gRPC's clients in Go tell of it."""
    return f"rpc error: code = {code_as_go(error.code().name)} desc = {error.details() or ''}"


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
