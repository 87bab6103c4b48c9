"""Tell a node's agent of the driver, as the sidecar node-driver-registrar does for others: the agent finds a socket, and asks."""

import logging
from pathlib import Path

import grpc
import grpc.aio
from typing_extensions import override

from csi.errors import presentable
from proto import pluginregistration_pb2 as wire
from proto.pluginregistration_pb2_grpc import RegistrationServicer, add_RegistrationServicer_to_server
from runtimes.linux import grpc_unix
from runtimes.linux.grpc_server import grpc_server
from runtimes.linux.unix_socket import SocketPath

_CSI_PLUGIN = "CSIPlugin"
_VERSIONS = ("1.0.0",)  # of CSI, as the registrar says it of every driver
log = logging.getLogger(__name__)


class Registrar:
    """`start` once, when the driver answers; `stop` once, before it does not any more."""

    def __init__(self, path: Path, *, name: str, endpoint: Path) -> None:
        self._place = SocketPath(path)
        self._answers = _Answers(name, endpoint)
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Raises OSError, AddressTaken among them."""
        server = grpc_server()
        add_RegistrationServicer_to_server(self._answers, server)  # type: ignore[no-untyped-call]  # generated
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
        if self._server is not None:
            self._place.withdraw()
            await self._server.stop(None)


class _Answers(RegistrationServicer):
    def __init__(self, name: str, endpoint: Path) -> None:
        self._info = wire.PluginInfo(type=_CSI_PLUGIN, name=name, endpoint=str(endpoint), supported_versions=_VERSIONS)

    @override
    async def GetInfo(self, request: wire.InfoRequest, context: object) -> wire.PluginInfo:
        return self._info

    @override
    async def NotifyRegistrationStatus(
        self, request: wire.RegistrationStatus, context: object
    ) -> wire.RegistrationStatusResponse:
        if request.plugin_registered:
            log.info("registered with the node's agent")
        else:
            log.warning("the node's agent does not take the driver: %s", presentable(request.error))
        return wire.RegistrationStatusResponse()
