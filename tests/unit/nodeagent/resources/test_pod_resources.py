"""nodeagent.resources.pod_resources. docs/facts/node-resources.md 12.2."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from lightkube.models.core_v1 import Container
from machines import machine
from pod_builders import pod, resources
from pod_resources_api import asked
from typing_extensions import override

from nodeagent.config.cpu_options import CPUOptions
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.contract import ANYWHERE
from nodeagent.resources.cpu.manager import StaticCPUManager
from nodeagent.resources.devices.device import HEALTHY, UNHEALTHY, Device
from nodeagent.resources.devices.inventory import Inventory
from nodeagent.resources.devices.manager import DeviceManager
from nodeagent.resources.devices.state import DeviceState
from nodeagent.resources.dra.health import DeviceHealth
from nodeagent.resources.dra.manager import DRAManager, UsedDevice
from nodeagent.resources.dra.state import PreparedDevice
from nodeagent.resources.grpc_socket import Refused
from nodeagent.resources.memory.accounts import Room
from nodeagent.resources.memory.manager import MemoryManager
from nodeagent.resources.memory.state import MemoryState
from nodeagent.resources.pod_resources import PodResources, pod_resources_socket
from proto import podresources_pb2 as api


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


class Shelf(Inventory):
    """Three devices of one resource."""

    def __init__(self, state: DeviceState) -> None:
        super().__init__(state, start=cast("Any", None), changed=lambda counts: None)
        self._devices["x.org/d"] = {
            "a": Device(id="a", health=HEALTHY, nodes=frozenset({1})),
            "b": Device(id="b", health=HEALTHY),
            "c": Device(id="c", health=UNHEALTHY),
        }


class Claims(DRAManager):
    """The first pod's container has one device of a claim."""

    def __init__(self) -> None:
        return

    @override
    def devices_of(self, pod: AgentPod, container: Container) -> Iterator[UsedDevice]:
        if container.name == "c0" and pod.name == "first":
            device = PreparedDevice(pool="p", name="d", cdi_ids=["v/c=1"])
            health = DeviceHealth(status="Healthy", until=0)
            for shown in ("claim:x", "claim:x/r"):
                yield UsedDevice(claim=("ns", "x"), shown=shown, driver="v", device=device, health=health)


async def served(folder: Path, pods: list[AgentPod], clock: Clock) -> PodResources:
    cpus = StaticCPUManager(folder, machine(cores=4), frozenset({0}), CPUOptions())
    cpus.load()
    state = DeviceState(folder)
    state.add("u", "c0", "x.org/d", {"-1": ["b"], "1": ["a"]}, b"")
    for each in pods:
        await cpus.allocate(each, each.spec.containers[0], ANYWHERE)
    memory = MemoryManager(
        MemoryState(folder, "Static", {0: {"memory": Room(total=9, system_reserved=1, allocatable=8)}})
    )
    devices = DeviceManager(state, Shelf(state), lambda uid: False)
    return PodResources(cpus, devices, memory, Claims(), lambda: pods, clock.now)


def two_pods() -> list[AgentPod]:
    whole = {"cpu": "2", "memory": "1Mi"}
    sidecar = {
        "restartPolicy": "Always",
        **resources({"cpu": "1500m", "memory": "1Mi"}, {"cpu": "1500m", "memory": "1Mi"}),
    }
    first = pod(resources(whole, whole), init=[sidecar], meta={"uid": "u", "namespace": "ns", "name": "first"})
    return [first, pod({}, init=[{}], meta={"uid": "v", "namespace": "ns", "name": "second"})]


FIRST = {
    "name": "first",
    "namespace": "ns",
    "containers": [
        {"name": "i0"},
        {
            "name": "c0",
            "cpuIds": ["1", "5"],
            "devices": [
                {"resourceName": "x.org/d", "deviceIds": ["b"]},
                {"resourceName": "x.org/d", "deviceIds": ["a"], "topology": {"nodes": [{"ID": "1"}]}},
            ],
            "dynamicResources": [
                {
                    "claimName": "x",
                    "claimNamespace": "ns",
                    "claimResources": [
                        {"cdiDevices": [{"name": "v/c=1"}], "driverName": "v", "poolName": "p", "deviceName": "d"}
                    ],
                }
            ],
        },
    ],
}
SECOND = {"name": "second", "namespace": "ns", "containers": [{"name": "c0"}]}


async def test_the_socket(tmp_path: Path) -> None:
    """Sidecars and regular containers of every active pod; one of them; what could be given; one that is not there."""
    socket = pod_resources_socket(tmp_path, await served(tmp_path, two_pods(), Clock()))
    await socket.start()
    assert stat.S_IMODE((tmp_path / "pod-resources" / "kubelet.sock").stat().st_mode) == 0o600  # nobody but root

    async def ask(method: str, request: Any, answer: Any) -> Any:
        return MessageToDict(await asked(tmp_path, method, request, answer))

    try:
        listed = await ask("List", api.ListPodResourcesRequest(), api.ListPodResourcesResponse)
        assert listed == {"podResources": [FIRST, SECOND]}
        one = api.GetPodResourcesRequest(pod_name="second", pod_namespace="ns")
        assert await ask("Get", one, api.GetPodResourcesResponse) == {"podResources": SECOND}
        free = await ask("GetAllocatableResources", api.AllocatableResourcesRequest(), api.AllocatableResourcesResponse)
        assert free == {
            "cpuIds": ["1", "2", "3", "4", "5", "6", "7"],
            "devices": [
                {"resourceName": "x.org/d", "deviceIds": ["a"], "topology": {"nodes": [{"ID": "1"}]}},
                {"resourceName": "x.org/d", "deviceIds": ["b"]},
            ],
            "memory": [{"memoryType": "memory", "size": "8", "topology": {"nodes": [{}]}}],
        }
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            none = api.GetPodResourcesRequest(pod_name="other", pod_namespace="ns")
            await ask("Get", none, api.GetPodResourcesResponse)
        assert (caught.value.code(), caught.value.details()) == (
            grpc.StatusCode.NOT_FOUND,
            "pod other in namespace ns not found",
        )
    finally:
        await socket.stop()


async def test_calls_are_bounded(tmp_path: Path) -> None:
    """Ten at once, a hundred a second."""
    clock = Clock()
    asked = await served(tmp_path, [], clock)
    for _ in range(10):
        await asked.list(api.ListPodResourcesRequest())
    with pytest.raises(Refused, match="rejected by rate limit"):
        await asked.list(api.ListPodResourcesRequest())
    clock.seconds += 0.011
    await asked.list(api.ListPodResourcesRequest())
