"""The driver's socket: each call of CSI that has a method here, with errors as status codes.

A call that was begun is carried to its end, whatever becomes of its caller: who comes again finds it done, or waits for it.
"""

import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import Message

from csi import errors
from csi.driver.attachments import AttachmentService
from csi.driver.copies import Copies
from csi.driver.groups import GroupService
from csi.driver.identity import IdentityService
from csi.driver.locks import Locks
from csi.driver.node import NodeService
from csi.driver.settings import Settings
from csi.driver.snapshot_metadata import SnapshotMetadataService
from csi.driver.snapshots import SnapshotService
from csi.driver.store import Store
from csi.driver.usage import UsageService
from csi.driver.volumes import VolumeService
from proto import csi_pb2 as csi
from runtimes.linux import grpc_unix
from runtimes.linux.grpc_server import grpc_server
from runtimes.linux.tasks import Background
from runtimes.linux.unix_socket import SocketPath

_GRACE_SECONDS = 5.0
_MAX_CALLS = 128
_SERVICES = ("Identity", "Controller", "GroupController", "SnapshotMetadata", "Node")
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM))

Method: TypeAlias = Callable[[Any], Awaitable[Message]]
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
log = logging.getLogger(__name__)


class Server:
    """`start` once, `stop` once."""

    def __init__(self, path: Path, settings: Settings, store: Store) -> None:
        locks = Locks()
        self._copies = Copies(store, locks)
        self._parts: Sequence[object] = (
            IdentityService(settings),
            VolumeService(settings, store, locks, self._copies),
            SnapshotService(settings, store, locks, self._copies),
            GroupService(store, locks, self._copies),
            SnapshotMetadataService(settings, store, locks),
            AttachmentService(settings, store, locks),
            NodeService(settings, store, locks),
            UsageService(store, locks),
        )
        self._place = SocketPath(path)
        self._work = Background()
        self._calls = 0
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Raises OSError, AddressTaken among them."""
        self._copies.thaw_all()
        server = grpc_server()
        server.add_generic_rpc_handlers(tuple(self._handlers(name) for name in _SERVICES))
        try:
            server.add_insecure_port(grpc_unix.target(self._place.draft()))
            await server.start()
            self._place.publish()
        except BaseException:
            await server.stop(None)
            self._place.withdraw()
            raise
        self._server = server

    async def stop(self) -> None:
        """Take no more calls, and let those under way come to their end, for a while."""
        if self._server is not None:
            self._place.withdraw()
            await self._server.stop(_GRACE_SECONDS)
            await self._work.drain(_GRACE_SECONDS)

    def _handlers(self, service: str) -> grpc.GenericRpcHandler:
        description = csi.DESCRIPTOR.services_by_name[service]
        handlers = {
            method.name: (grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler)(
                (self._answers if streams else self._answer)(method.name, found),
                request_deserializer=getattr(csi, method.input_type.name).FromString,
                response_serializer=_serialize,
            )
            for method in description.methods
            if (found := self._method(method.name)) is not None
            for streams in (method.server_streaming,)
        }
        return grpc.method_handlers_generic_handler(description.full_name, handlers)

    def _method(self, name: str) -> Method | None:
        """CSI's NodeStageVolume is `node_stage_volume` of one of the parts."""
        own = "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")
        return next((getattr(part, own) for part in self._parts if hasattr(part, own)), None)

    def _answer(self, name: str, method: Method) -> Callable[[Any, Context], Awaitable[Message]]:
        async def answer(request: Any, context: Context) -> Message:
            try:
                return await self._carry(method, request, name)
            except Exception as error:
                fault = _fault(name, error)
            await context.abort(grpc.StatusCode[fault.code], fault.message)
            raise AssertionError("abort returned")

        return answer

    def _answers(self, name: str, method: Method) -> Callable[[Any, Context], AsyncIterator[Message]]:
        """Of a call that only looks: what there is to tell is known before the first message is sent."""

        async def answers(request: Any, context: Context) -> AsyncIterator[Message]:
            for message in await answer(request, context):
                yield message

        answer: Any = self._answer(name, method)
        return answers

    async def _carry(self, method: Method, request: Any, name: str) -> Message:
        async def counted() -> Message:
            self._calls += 1
            try:
                if self._calls > _MAX_CALLS:
                    raise errors.Exhausted(f"{_MAX_CALLS} calls are under way")
                return await method(request)
            finally:
                self._calls -= 1

        return await self._work.carry_through(counted(), name)


def _fault(name: str, error: Exception) -> errors.CSIError:
    if isinstance(error, errors.CSIError):
        log.info("%s: %s %s", name, error.code, error.message)
        return error
    if isinstance(error, OSError):
        log.warning("%s: %s", name, error)
        kind = errors.Exhausted if error.errno in _NO_ROOM else errors.DriverFault
        return kind(errors.presentable(str(error)))
    log.error("%s failed", name, exc_info=error)
    return errors.DriverFault(f"{name}: {type(error).__name__}")


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
