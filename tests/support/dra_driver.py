"""A DRA driver as a process: it registers in the watched folder of plugins, publishes its devices as a ResourceSlice, prepares
claims by CDI files, and tells of its devices' health.

Its file, which a test may change at any time, says of each device its health and attributes, and which fault it has: `hang`,
`die`, or an error's text. What it is asked stands in the journal beside it, a line a call.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio

from proto import dra_health_pb2 as health
from proto import dra_health_pb2_grpc as health_services
from proto import dra_pb2 as api
from proto import dra_pb2_grpc as services
from proto import pluginregistration_pb2 as registration
from proto import pluginregistration_pb2_grpc as registration_services

CDI = Path("/var/run/cdi")
_POLL_SECONDS = 0.1
_REPO = Path(__file__).resolve().parents[2]
_WORDS = {"Healthy": health.HEALTHY, "Unhealthy": health.UNHEALTHY, "Unknown": health.UNKNOWN}


class DRADriver:
    """`root`: the agent's. `kubeconfig`: by which it reads claims. The file is `<folder>/driver.json`."""

    def __init__(self, root: Path, folder: Path, name: str, node: str, kubeconfig: Path) -> None:
        self.folder = folder
        self.name = name
        self._arguments = [str(root), str(folder), name, node, str(kubeconfig)]
        self._process: subprocess.Popen[bytes] | None = None

    def set(self, fault: str = "", **devices: str) -> None:
        """`id="Healthy"`; the model is told as an attribute, and is the device's name."""
        draft = self.folder / "driver.draft"
        draft.write_text(json.dumps({"fault": fault, "devices": devices}))
        draft.rename(self.folder / "driver.json")

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                cwd=_REPO,
                # not on the command line: what names a node there counts as left behind by it
                env={
                    "PYTHONPATH": str(_REPO),
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.folder),
                    "DRIVER": json.dumps(self._arguments),
                },
                stdout=log,
                stderr=log,
                start_new_session=True,  # its kubectl ends with it
            )

    def kill(self) -> None:
        """kill -9, and what a restart of the host would do to its sockets. Repeatable."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        root = Path(self._arguments[0])
        for socket in (root / "plugins_registry" / f"{self.name}.sock", self.folder / "dra.sock"):
            socket.unlink(missing_ok=True)

    def clean(self) -> None:
        self.kill()
        for path in CDI.glob(f"{self.name}-*.json"):
            path.unlink()

    @property
    def journal(self) -> list[str]:
        path = self.folder / "journal"
        return path.read_text().splitlines() if path.exists() else []


def slice_of(driver: str, node: str, *devices: str) -> dict[str, Any]:
    """The ResourceSlice that a driver publishes of its devices on a node."""
    listed = [{"name": name, "attributes": {"model": {"string": name}}} for name in devices]
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{driver}"},
        "spec": {"driver": driver, "nodeName": node, "pool": pool, "devices": listed},
    }


class Servicer:
    """In the driver's own process."""

    def __init__(self, folder: Path, name: str, node: str, kubeconfig: str) -> None:
        self._folder = folder
        self._name = name
        self._node = node
        self._kubectl = ["kubectl", f"--kubeconfig={kubeconfig}"]

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self._folder / "driver.json").read_text())
        return found

    async def kubectl(self, *arguments: str, text: str = "") -> bytes:
        process = await asyncio.create_subprocess_exec(
            *self._kubectl, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        found, _ = await process.communicate(text.encode())
        return found

    async def publish(self) -> None:
        """As often as somebody has removed what it offers."""
        while True:
            wanted = slice_of(self._name, self._node, *self.told()["devices"])
            if not await self.kubectl(
                "get", "resourceslice", wanted["metadata"]["name"], "--ignore-not-found", "-oname"
            ):
                await self.kubectl("create", "-f", "-", text=json.dumps(wanted))
            await asyncio.sleep(1)

    async def NodePrepareResources(self, request: Any, context: Any) -> api.NodePrepareResourcesResponse:
        answer = api.NodePrepareResourcesResponse()
        await self._begin("prepare", request)
        fault = self.told()["fault"]
        for claim in request.claims:
            if fault:
                answer.claims[claim.uid].error = fault
                continue
            text = await self.kubectl("get", "resourceclaim", claim.name, "-n", claim.namespace, "-ojson")
            results = json.loads(text)["status"]["allocation"]["devices"]["results"]
            own = [result for result in results if result["driver"] == self._name]
            self._write_cdi(claim.uid, [result["device"] for result in own])
            for result in own:
                answer.claims[claim.uid].devices.add(
                    request_names=[result["request"]],
                    pool_name=result["pool"],
                    device_name=result["device"],
                    cdi_device_ids=[f"{self._name}/claim={claim.uid}-{result['device']}"],
                )
        return answer

    async def NodeUnprepareResources(self, request: Any, context: Any) -> api.NodeUnprepareResourcesResponse:
        answer = api.NodeUnprepareResourcesResponse()
        await self._begin("unprepare", request)
        for claim in request.claims:
            (CDI / f"{self._name}-{claim.uid}.json").unlink(missing_ok=True)
            answer.claims[claim.uid].SetInParent()
        return answer

    async def NodeWatchResources(self, request: Any, context: Any) -> AsyncIterator[health.NodeWatchResourcesResponse]:
        last = None
        while True:
            if (now := self.told()["devices"]) != last:
                last = now
                answer = health.NodeWatchResourcesResponse()
                for device, word in now.items():
                    told = answer.devices.add(health=_WORDS[word], message=f"{device} is {word}")
                    told.device.pool_name, told.device.device_name = self._node, device
                    told.health_check_timeout_seconds = 600
                yield answer
            await asyncio.sleep(_POLL_SECONDS)

    async def GetInfo(self, request: Any, context: Any) -> registration.PluginInfo:
        return registration.PluginInfo(
            type="DRAPlugin",
            name=self._name,
            endpoint=str(self._folder / "dra.sock"),
            supported_versions=["v1.DRAPlugin", "v1alpha1.DRAResourceHealth"],
        )

    async def NotifyRegistrationStatus(self, request: Any, context: Any) -> registration.RegistrationStatusResponse:
        self._note(f"registered {request.plugin_registered}")
        return registration.RegistrationStatusResponse()

    async def _begin(self, verb: str, request: Any) -> None:
        self._note(f"{verb} {' '.join(sorted(claim.name for claim in request.claims))}")
        match self.told()["fault"]:
            case "hang":
                await asyncio.sleep(100_000)
            case "die":
                os._exit(1)

    def _write_cdi(self, uid: str, devices: list[str]) -> None:
        edits = {
            device: {
                "env": [f"{device.upper()}_OF={self._name}"],
                "deviceNodes": [{"path": f"/dev/{device}", "hostPath": "/dev/zero"}],
                "mounts": [{"hostPath": str(self._folder), "containerPath": "/driver", "options": ["ro", "bind"]}],
            }
            for device in devices
        }
        spec = {
            "cdiVersion": "0.6.0",
            "kind": f"{self._name}/claim",
            "devices": [{"name": f"{uid}-{device}", "containerEdits": each} for device, each in edits.items()],
        }
        CDI.mkdir(parents=True, exist_ok=True)
        (CDI / f"{self._name}-{uid}.json").write_text(json.dumps(spec))

    def _note(self, line: str) -> None:
        with (self._folder / "journal").open("a") as journal:
            journal.write(f"{line}\n")


async def serve(root: Path, folder: Path, name: str, node: str, kubeconfig: str) -> None:
    """Until it is killed."""
    servicer = Servicer(folder, name, node, kubeconfig)
    servers = [grpc.aio.server(), grpc.aio.server()]
    services.add_DRAPluginServicer_to_server(servicer, servers[0])  # type: ignore[no-untyped-call]
    health_services.add_DRAResourceHealthServicer_to_server(servicer, servers[0])  # type: ignore[no-untyped-call]
    registration_services.add_RegistrationServicer_to_server(servicer, servers[1])  # type: ignore[no-untyped-call]
    sockets = [folder / "dra.sock", root / "plugins_registry" / f"{name}.sock"]
    for server, socket in zip(servers, sockets, strict=True):
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
    await servicer.publish()


if __name__ == "__main__":
    root, folder, *names = json.loads(os.environ["DRIVER"])
    asyncio.run(serve(Path(root), Path(folder), *names))
