"""A device plugin as a process: it serves the devices that a file names, and registers again when the agent's socket is new.

The file, which a test may change at any time, says of each device whether it is healthy, and its NUMA node.
What it is asked stands in the journal beside it, a line a call.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import grpc.aio

from proto import deviceplugin_pb2 as api
from proto import deviceplugin_pb2_grpc as services

_POLL_SECONDS = 0.1
_REPO = Path(__file__).resolve().parents[2]


class DevicePlugin:
    """`plugins`: the agent's folder for them. The file is `<folder>/devices.json`."""

    def __init__(self, plugins: Path, folder: Path, resource: str) -> None:
        self.plugins = plugins
        self.folder = folder
        self.resource = resource
        self._process: subprocess.Popen[bytes] | None = None

    def set(self, **devices: Any) -> None:
        """`id=healthy`, or `id=(healthy, NUMA node)`."""
        found = {}
        for id, told in devices.items():
            healthy, node = told if isinstance(told, tuple) else (told, None)
            found[id] = {"healthy": healthy, "node": node}
        draft = self.folder / "devices.draft"
        draft.write_text(json.dumps(found))
        draft.rename(self.folder / "devices.json")

    def start(self) -> None:
        arguments = [str(self.plugins), str(self.folder), self.resource]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, *arguments],
                cwd=_REPO,
                env={"PYTHONPATH": str(_REPO)},
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """kill -9. Repeatable."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    @property
    def journal(self) -> list[str]:
        path = self.folder / "journal"
        return path.read_text().splitlines() if path.exists() else []


class Servicer:
    """In the plugin's own process. Of available devices it prefers those whose names sort last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def devices(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self._folder / "devices.json").read_text())
        return found

    def _cdi_kinds(self) -> list[str]:
        """The file `cdi` has the kind of the CDI devices that are given, too, one of the same name for each device."""
        path = self._folder / "cdi"
        return path.read_text().split() if path.exists() else []

    def note(self, line: str) -> None:
        with (self._folder / "journal").open("a") as journal:
            journal.write(f"{line}\n")

    async def GetDevicePluginOptions(self, request: Any, context: Any) -> api.DevicePluginOptions:
        return api.DevicePluginOptions(pre_start_required=True, get_preferred_allocation_available=True)

    async def ListAndWatch(self, request: Any, context: Any) -> AsyncIterator[api.ListAndWatchResponse]:
        last = None
        while True:
            if (now := self.devices()) != last:
                last = now
                yield api.ListAndWatchResponse(devices=[_device(id, told) for id, told in now.items()])
            await asyncio.sleep(_POLL_SECONDS)

    async def GetPreferredAllocation(self, request: Any, context: Any) -> api.PreferredAllocationResponse:
        wanted = request.container_requests[0]
        rest = sorted(set(wanted.available_deviceIDs) - set(wanted.must_include_deviceIDs), reverse=True)
        chosen = [*wanted.must_include_deviceIDs, *rest][: wanted.allocation_size]
        self.note(f"prefer {' '.join(chosen)} of {' '.join(wanted.available_deviceIDs)}")
        return api.PreferredAllocationResponse(
            container_responses=[api.ContainerPreferredAllocationResponse(deviceIDs=chosen)]
        )

    async def Allocate(self, request: Any, context: Any) -> api.AllocateResponse:
        ids = list(request.container_requests[0].devices_ids)
        self.note(f"allocate {' '.join(ids)}")
        if "refuse" in ids:
            await context.abort(grpc.StatusCode.INTERNAL, "this one is broken")
        answer = api.ContainerAllocateResponse(
            envs={"DEMO_DEVICES": ",".join(ids), "OWN": "of the plugin"},
            mounts=[api.Mount(container_path="/demo", host_path=str(self._folder), read_only=True)],
            devices=[api.DeviceSpec(container_path=f"/dev/{id}", host_path="/dev/zero", permissions="r") for id in ids],
            annotations={"demo.example/devices": ",".join(ids)},
            cdi_devices=[api.CDIDevice(name=f"{kind}={id}") for kind in self._cdi_kinds() for id in ids],
        )
        return api.AllocateResponse(container_responses=[answer])

    async def PreStartContainer(self, request: Any, context: Any) -> api.PreStartContainerResponse:
        self.note(f"start {' '.join(request.devices_ids)}")
        return api.PreStartContainerResponse()


def _device(id: str, told: dict[str, Any]) -> api.Device:
    device = api.Device(ID=id, health="Healthy" if told["healthy"] else "Unhealthy")
    if told["node"] is not None:
        device.topology.nodes.add(ID=told["node"])
    return device


async def serve(plugins: Path, folder: Path, resource: str) -> NoReturn:
    """Listen and register, again whenever the agent's socket is another one; until it is killed."""
    known = None
    server: grpc.aio.Server | None = None
    while True:
        try:
            found = (plugins / "kubelet.sock").stat()
        except FileNotFoundError:
            await asyncio.sleep(_POLL_SECONDS)
            continue
        if (found.st_ino, found.st_ctime_ns) != known:
            if server is not None:
                await server.stop(None)
            server = grpc.aio.server()
            services.add_DevicePluginServicer_to_server(Servicer(folder), server)  # type: ignore[no-untyped-call]
            endpoint = plugins / "demo.sock"
            endpoint.unlink(missing_ok=True)
            server.add_insecure_port(f"unix:{endpoint}")
            await server.start()
            try:
                async with grpc.aio.insecure_channel(f"unix:{plugins / 'kubelet.sock'}") as channel:
                    request = api.RegisterRequest(version="v1beta1", endpoint="demo.sock", resource_name=resource)
                    agent = services.RegistrationStub(channel)  # type: ignore[no-untyped-call]
                    await agent.Register(request, timeout=5)
                known = (found.st_ino, found.st_ctime_ns)
            except grpc.aio.AioRpcError as error:
                print(f"not registered: {error.details()}", flush=True)
        await asyncio.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
