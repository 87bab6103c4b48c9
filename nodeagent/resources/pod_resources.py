"""The PodResources API: what of the node which container has for itself. Source: docs/facts/node-resources.md 12.2."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nodeagent.podspec.containers import is_sidecar
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.cpu.manager import CPUManager
from nodeagent.resources.devices.device import Devices
from nodeagent.resources.devices.manager import DeviceManager
from nodeagent.resources.devices.state import NO_NODE, Holding
from nodeagent.resources.dra.manager import DRAManager, UsedDevice
from nodeagent.resources.dra.state import Key
from nodeagent.resources.grpc_socket import GRPCSocket, Refused
from nodeagent.resources.memory.accounts import Block
from nodeagent.resources.memory.manager import MemoryManager
from proto import podresources_pb2 as api

FOLDER, SOCKET = "pod-resources", "kubelet.sock"
CALLS_A_SECOND, BURST = 100.0, 10.0


class PodResources:
    """`active`: the pods that hold resources. `now`: seconds, for the bound on calls."""

    def __init__(
        self,
        cpus: CPUManager,
        devices: DeviceManager,
        memory: MemoryManager,
        claims: DRAManager,
        active: Callable[[], Iterable[AgentPod]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cpus = cpus
        self._devices = devices
        self._memory = memory
        self._claims = claims
        self._active = active
        self._now = now
        self._calls, self._at = BURST, now()  # that may be made at once; as of then

    async def list(self, request: api.ListPodResourcesRequest) -> api.ListPodResourcesResponse:
        """Every active pod, also those that have nothing for themselves. Raises Refused."""
        self._count()
        return api.ListPodResourcesResponse(pod_resources=[self._of(pod) for pod in self._active()])

    async def get(self, request: api.GetPodResourcesRequest) -> api.GetPodResourcesResponse:
        """Raises Refused."""
        self._count()
        wanted = (request.pod_namespace, request.pod_name)
        for pod in self._active():
            if pod.key == wanted:
                return api.GetPodResourcesResponse(pod_resources=self._of(pod))
        text = f"pod {request.pod_name} in namespace {request.pod_namespace} not found"
        raise Refused(text, "NOT_FOUND")

    async def allocatable(self, request: api.AllocatableResourcesRequest) -> api.AllocatableResourcesResponse:
        """What containers could have for themselves, were nothing given: without reserved CPUs and unhealthy devices. Raises
        Refused.
        """
        self._count()
        devices = (_of_resource(name, held) for name, held in sorted(self._devices.healthy().items()))
        return api.AllocatableResourcesResponse(
            devices=[each for listed in devices for each in listed],
            cpu_ids=sorted(self._cpus.allocatable),
            memory=[_of_block(block) for block in self._memory.allocatable()],
        )

    def _of(self, pod: AgentPod) -> api.PodResources:
        listed = [item for item in pod.spec.initContainers or () if is_sidecar(item)] + list(pod.spec.containers)
        exclusive = self._cpus.exclusive(pod.uid)
        return api.PodResources(
            name=pod.name,
            namespace=pod.namespace,
            containers=[
                api.ContainerResources(
                    name=item.name,
                    cpu_ids=sorted(exclusive.get(item.name, ())),
                    memory=[_of_block(block) for block in self._memory.blocks_of(pod.uid, item.name)],
                    devices=[each for held in self._devices.holdings(pod.uid, item.name) for each in _of_holding(held)],
                    dynamic_resources=_of_claims(self._claims.devices_of(pod, item)),
                )
                for item in listed
            ],
        )

    def _count(self) -> None:
        now = self._now()
        self._calls = min(BURST, self._calls + (now - self._at) * CALLS_A_SECOND)
        self._at = now
        if self._calls < 1:
            raise Refused("rejected by rate limit, please retry later", "RESOURCE_EXHAUSTED")
        self._calls -= 1


def pod_resources_socket(root: Path, served: PodResources) -> GRPCSocket:
    methods: dict[str, Any] = {
        "List": served.list,
        "Get": served.get,
        "GetAllocatableResources": served.allocatable,
    }
    return GRPCSocket(root / FOLDER / SOCKET, api.DESCRIPTOR.services_by_name["PodResourcesLister"], methods)


def _of_block(block: Block) -> api.ContainerMemory:
    entry = api.ContainerMemory(memory_type=block.resource, size=block.size)
    for node in sorted(block.nodes):
        entry.topology.nodes.add(ID=node)
    return entry


def _of_holding(held: Holding) -> Iterable[api.ContainerDevices]:
    """An entry a node: the devices of one entry are at the same."""
    for node, ids in sorted(held.ids_by_node.items()):
        yield _entry(held.resource, ids, () if int(node) == NO_NODE else (int(node),))


def _of_claims(used: Iterable[UsedDevice]) -> Iterable[api.DynamicResource]:
    """An entry a claim; a device that serves several requests of it once."""
    found: dict[Key, dict[tuple[str, str, str, str], api.ClaimResource]] = {}
    for each in used:
        device, share = each.device, each.device.share_id or ""
        told = api.ClaimResource(
            cdi_devices=[api.CDIDevice(name=id) for id in device.cdi_ids or ()],
            driver_name=each.driver,
            pool_name=device.pool,
            device_name=device.name,
            share_id=device.share_id,
        )
        found.setdefault(each.claim, {})[each.driver, device.pool, device.name, share] = told
    for (namespace, name), devices in sorted(found.items()):
        yield api.DynamicResource(claim_name=name, claim_namespace=namespace, claim_resources=devices.values())


def _of_resource(name: str, devices: Devices) -> Iterable[api.ContainerDevices]:
    """An entry a device, as a kubelet lists what could be given."""
    for id, device in sorted(devices.items()):
        yield _entry(name, [id], sorted(device.nodes))


def _entry(resource: str, ids: Iterable[str], nodes: Iterable[int]) -> api.ContainerDevices:
    entry = api.ContainerDevices(resource_name=resource, device_ids=ids)
    for node in nodes:
        entry.topology.nodes.add(ID=node)
    return entry
