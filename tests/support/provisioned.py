"""What makes volumes for claims, by a real embedded API and a real driver, without an agent: it can be cut off at any call."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from api_server import ApiServer
from csi_driver import DriverProcess
from google.protobuf.message import Message
from typing_extensions import override

from csi.client import Client
from csi.driver.settings import NAME
from csi.endpoint import Endpoint
from nodeagent.api import kubeconfig
from nodeagent.api.client import ApiClient
from nodeagent.api.events import EventRecorder
from nodeagent.provisioner.controller import StorageController
from nodeagent.provisioner.driver import Driver
from proto import csi_pb2 as csi

NODE = "node-1"
BY_HAND = "/api/v1/namespaces/default"
SECONDS = 60.0
T = TypeVar("T")
Answer = TypeVar("Answer", bound=Message)


class Strikes:
    """The moment of a power cut: before, or after, the n-th call of the controller; 0: never. `calls`: what was called."""

    def __init__(self, number: int = 0, *, after: bool = False) -> None:
        self.calls: list[str] = []
        self.dead = asyncio.Event()
        self._number = number
        self._after = after

    async def around(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        self.calls.append(name)
        struck = len(self.calls) == self._number
        if self.dead.is_set() or (struck and not self._after):
            await self._die()
        answer = await call()
        if struck:
            await self._die()
        return answer

    async def _die(self) -> None:
        self.dead.set()
        await asyncio.get_running_loop().create_future()


class StruckClient(ApiClient):
    """Events, lists and watches are not counted: they change nothing."""

    def __init__(self, kubeconfig_file: Path, strikes: Strikes) -> None:
        super().__init__(kubeconfig.load(kubeconfig_file), qps=-1)
        self.strikes = strikes

    @override
    async def request(self, method: str, path: str, *arguments: Any, **keywords: Any) -> bytes:
        request = super().request
        if "/events" in path or (method == "GET" and path.partition("?")[0].endswith(("volumes", "volumeclaims"))):
            return await request(method, path, *arguments, **keywords)
        return await self.strikes.around(f"{method} {path}", lambda: request(method, path, *arguments, **keywords))


class StruckEndpoint(Endpoint):
    def __init__(self, address: str, strikes: Strikes) -> None:
        super().__init__(address)
        self._strikes = strikes

    @override
    async def call(self, request: Message, answer: type[Answer], *, deadline_seconds: float | None = None) -> Answer:
        call = super().call
        return await self._strikes.around(
            type(request).__name__, lambda: call(request, answer, deadline_seconds=deadline_seconds)
        )


@contextlib.asynccontextmanager
async def controller(server: ApiServer, process: DriverProcess, strikes: Strikes) -> AsyncIterator[asyncio.Task[None]]:
    """At work inside the block; nothing of it is left afterwards, as after kill -9."""
    client = StruckClient(server.state_dir / "storage.kubeconfig", strikes)
    async with client:
        events = EventRecorder(client, NODE, component=NAME)
        driver = Driver(NAME, Client(StruckEndpoint(process.endpoint, strikes)))
        made = StorageController(client, driver, events, NODE)
        tasks = [asyncio.create_task(each.run()) for each in (*made.informers, events)]
        work = asyncio.create_task(made.run())
        try:
            yield work
        finally:
            for task in (*tasks, work):
                task.cancel()
            await asyncio.wait({*tasks, work})


async def volumes(process: DriverProcess) -> list[csi.Volume]:
    """All that the driver has."""
    return [entry.volume async for entry in process.client.controller.volumes()]


class Claims:
    """kubectl's part, for claims of the namespace default and what belongs to them."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def make(self, name: str, storage_class: str, size: str = "1Gi", **spec: Any) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": size}},
                "storageClassName": storage_class,
                **spec,
            },
        }
        code, answer = self._server.request("POST", f"{BY_HAND}/persistentvolumeclaims", body)
        assert code == 201, answer

    def storage_class(self, name: str, **fields: Any) -> None:
        metadata = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}}
        body = {**metadata, "provisioner": NAME, "allowVolumeExpansion": True, **fields}
        code, answer = self._server.request("POST", "/apis/storage.k8s.io/v1/storageclasses", body)
        assert code == 201, answer

    def attributes_class(self, name: str, **parameters: str) -> None:
        metadata = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": name}}
        body = {**metadata, "driverName": NAME, "parameters": parameters}
        code, answer = self._server.request("POST", "/apis/storage.k8s.io/v1/volumeattributesclasses", body)
        assert code == 201, answer

    def get(self, name: str) -> Any:
        """None: there is none."""
        code, answer = self._server.request("GET", f"{BY_HAND}/persistentvolumeclaims/{name}")
        return answer if code == 200 else None

    def volume(self, name: str) -> Any:
        code, answer = self._server.request("GET", f"/api/v1/persistentvolumes/{name}")
        return answer if code == 200 else None

    def patch(self, path: str, change: Any) -> tuple[int, Any]:
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._server.request("PATCH", path, change, headers=headers)

    def grow(self, name: str, size: str) -> tuple[int, Any]:
        change = {"spec": {"resources": {"requests": {"storage": size}}}}
        return self.patch(f"{BY_HAND}/persistentvolumeclaims/{name}", change)

    def name_class(self, name: str, attributes_class: str) -> tuple[int, Any]:
        change = {"spec": {"volumeAttributesClassName": attributes_class}}
        return self.patch(f"{BY_HAND}/persistentvolumeclaims/{name}", change)

    def delete(self, name: str) -> None:
        self._server.request("DELETE", f"{BY_HAND}/persistentvolumeclaims/{name}")

    def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of all about an object."""
        _, listed = self._server.request("GET", f"{BY_HAND}/events?fieldSelector=involvedObject.name%3D{name}")
        return [(each["reason"], each["message"]) for each in listed["items"]]


async def until(check: Callable[[], Any], what: str, stop: asyncio.Event | None = None) -> Any:
    """The first true answer of `check`, or None once `stop` is set; the bound is generous and never asserted on."""
    async with asyncio.timeout(SECONDS):
        while stop is None or not stop.is_set():
            if found := await asyncio.to_thread(check):
                return found
            await asyncio.sleep(0.02)
    return None
