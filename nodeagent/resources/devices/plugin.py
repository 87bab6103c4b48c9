"""A device plugin behind its socket. Source: docs/facts/node-resources.md 12.1."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message

from nodeagent.resources.devices.device import Device, devices_of
from proto import deviceplugin_pb2 as api
from runtimes.linux import grpc_unix

DIAL_SECONDS = 10.0
PRE_START_SECONDS = 30.0
ALLOCATE_SECONDS = 60.0  # a kubelet waits without end, and no other pod is admitted meanwhile
_SERVICE = "/v1beta1.DevicePlugin"
_OPTIONS = (*grpc_unix.options(), ("grpc.initial_reconnect_backoff_ms", 100))
_Answer = TypeVar("_Answer", bound=Message)


class PluginError(Exception):
    """The plugin has refused, or does not answer. The text is its own where it has one."""


class Plugin:
    """One run of a plugin: one that starts again registers again. Calls raise PluginError."""

    def __init__(self, socket: Path) -> None:
        import grpc.aio  # 10 MB that a node without plugins does without

        self._channel = grpc.aio.insecure_channel(grpc_unix.target(socket), options=_OPTIONS)

    async def options(self) -> api.DevicePluginOptions:
        """The first call: a plugin may register before it listens, and has some seconds to do so."""
        answer = api.DevicePluginOptions
        return await self._call("GetDevicePluginOptions", api.Empty(), answer, DIAL_SECONDS, wait_for_ready=True)

    async def watch(self) -> AsyncIterator[dict[str, Device]]:
        """All devices, at every change, until the plugin ends the stream or goes."""
        import grpc.aio

        call = self._channel.unary_stream(
            f"{_SERVICE}/ListAndWatch",
            request_serializer=_serialize,
            response_deserializer=api.ListAndWatchResponse.FromString,
        )
        try:
            async for answer in call(api.Empty()):
                yield devices_of(answer.devices)
        except grpc.aio.AioRpcError as error:
            raise PluginError(error.details() or error.code().name) from error

    async def allocate(self, ids: Sequence[str]) -> api.ContainerAllocateResponse:
        request = api.AllocateRequest(container_requests=[api.ContainerAllocateRequest(devices_ids=ids)])
        answer = await self._call("Allocate", request, api.AllocateResponse, ALLOCATE_SECONDS)
        if len(answer.container_responses) != 1:
            raise PluginError(f"asked for one container, and answered for {len(answer.container_responses)}")
        return answer.container_responses[0]

    async def preferred(self, available: Sequence[str], must: Sequence[str], count: int) -> Sequence[str]:
        """Which of the available ones it would take, `must` among them."""
        wanted = api.ContainerPreferredAllocationRequest(
            available_deviceIDs=available, must_include_deviceIDs=must, allocation_size=count
        )
        request = api.PreferredAllocationRequest(container_requests=[wanted])
        answer = await self._call("GetPreferredAllocation", request, api.PreferredAllocationResponse, ALLOCATE_SECONDS)
        return answer.container_responses[0].deviceIDs if answer.container_responses else ()

    async def pre_start(self, ids: Sequence[str]) -> None:
        request = api.PreStartContainerRequest(devices_ids=ids)
        await self._call("PreStartContainer", request, api.PreStartContainerResponse, PRE_START_SECONDS)

    async def close(self) -> None:
        """Calls under way end with PluginError. Repeatable."""
        await self._channel.close(grace=None)

    async def _call(
        self,
        name: str,
        request: Message,
        answer: Callable[[], _Answer],
        seconds: float,
        *,
        wait_for_ready: bool = False,
    ) -> _Answer:
        import grpc.aio

        parse: Any = getattr(answer, "FromString")  # noqa: B009  # a message class, by its constructor
        call = self._channel.unary_unary(
            f"{_SERVICE}/{name}", request_serializer=_serialize, response_deserializer=parse
        )
        try:
            found: _Answer = await call(request, timeout=seconds, wait_for_ready=wait_for_ready)
        except grpc.aio.AioRpcError as error:
            raise PluginError(f"{name}: {error.details() or error.code().name}") from error
        return found


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
