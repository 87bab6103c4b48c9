"""Between an agent and a CSI driver: what registers the driver, as node-driver-registrar does, and a driver that is faulty on
demand, in front of the real one."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from typing_extensions import override

from proto import csi_pb2 as csi
from proto import pluginregistration_pb2 as wire
from proto.pluginregistration_pb2_grpc import RegistrationServicer, add_RegistrationServicer_to_server

_END_SECONDS = 5


class Registrar(RegistrationServicer):
    """Serves one registration socket. `told`: (registered, error), as the agent said it."""

    def __init__(
        self, socket: Path, name: str, endpoint: str, *, kind: str = "CSIPlugin", version: str = "1.0.0"
    ) -> None:
        self.socket = socket
        self.told: list[tuple[bool, str]] = []
        self._info = wire.PluginInfo(type=kind, name=name, endpoint=endpoint, supported_versions=[version])
        self._server: grpc.Server | None = None

    def start(self) -> "Registrar":
        self.socket.unlink(missing_ok=True)
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        server = self._server = grpc.server(ThreadPoolExecutor(2))
        add_RegistrationServicer_to_server(self, server)  # type: ignore[no-untyped-call]
        server.add_insecure_port(f"unix:{self.socket}")
        server.start()
        return self

    def stop(self) -> None:
        """It is gone, and its socket with it."""
        if self._server is not None:
            self.socket.unlink(missing_ok=True)
            self._server.stop(0).wait(_END_SECONDS)
            self._server = None

    @property
    def registered(self) -> bool:
        return bool(self.told) and self.told[-1][0]

    @override
    def GetInfo(self, request: wire.InfoRequest, context: Any) -> wire.PluginInfo:
        return self._info

    @override
    def NotifyRegistrationStatus(
        self, request: wire.RegistrationStatus, context: Any
    ) -> wire.RegistrationStatusResponse:
        self.told.append((request.plugin_registered, request.error))
        return wire.RegistrationStatusResponse()


@dataclass
class Fault:
    """What happens to calls of one method. `code`: the answer; `done`: the real driver has done it all the same.

    `times`: so many calls, then none. `gate`: the call waits for it first.
    """

    code: grpc.StatusCode | None = None
    details: str = "a fault of the test"
    done: bool = False
    times: int = 1 << 30
    gate: threading.Event | None = None


@dataclass
class FrontDriver(grpc.GenericRpcHandler):
    """A driver at `socket` that hands everything on to the one at `behind`, and may do otherwise.

    `calls`: (method, request) in the order in which they came. `change`: by method, what is made of an answer. `own`: by method,
    who answers in the real driver's place.
    """

    socket: Path
    behind: Path
    calls: list[tuple[str, Any]] = field(default_factory=list)
    faults: dict[str, Fault] = field(default_factory=dict)
    change: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    own: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    _server: Any = None

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> "FrontDriver":
        self._server = grpc.server(ThreadPoolExecutor(16))
        self._server.add_generic_rpc_handlers((self,))
        self._server.add_insecure_port(f"unix:{self.socket}")
        self._server.start()
        return self

    def honest(self) -> None:
        """No faults any more; calls that were held go on."""
        for fault in self.faults.values():
            if fault.gate is not None:
                fault.gate.set()
        for each in (self.faults, self.change, self.own):
            each.clear()

    def stop(self) -> None:
        self.honest()
        if self._server is not None:
            self._server.stop(0).wait(_END_SECONDS)
            self._server = None

    def named(self, method: str) -> list[Any]:
        """The requests of one method."""
        return [request for name, request in self.calls if name == method]

    @override
    def service(self, details: Any) -> Any:
        path: str = details.method
        name = path.rpartition("/")[2]

        def answer(data: bytes, context: Any) -> bytes:
            request = getattr(csi, f"{name}Request").FromString(data)
            self.calls.append((name, request))
            fault = self.faults.get(name)
            if fault is None or fault.times <= 0:
                return self._forward(path, name, data, context)
            fault.times -= 1
            if fault.gate is not None:
                fault.gate.wait()
            if fault.code is None:
                return self._forward(path, name, data, context)
            if fault.done:
                self._forward(path, name, data, context)
            context.abort(fault.code, fault.details)
            raise AssertionError("abort returned")

        return grpc.unary_unary_rpc_method_handler(answer)

    def _forward(self, path: str, name: str, data: bytes, context: Any) -> bytes:
        if (own := self.own.get(name)) is not None:
            answered: bytes = own(getattr(csi, f"{name}Request").FromString(data)).SerializeToString()
            return answered
        options = (("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1))
        with grpc.insecure_channel(f"unix:{self.behind}", options=options) as channel:
            try:
                call: Any = channel.unary_unary(path)
                found: bytes = call(data, timeout=120)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
                raise AssertionError("abort returned") from error
        if (change := self.change.get(name)) is not None:
            answer = getattr(csi, f"{name}Response").FromString(found)
            found = change(answer).SerializeToString()
        return found
