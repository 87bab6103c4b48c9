"""What containers can have of the node for themselves: CPUs, memory and devices."""

import logging
import math
from collections.abc import Callable
from typing import TypeVar

from nodeagent.assembly.host import Host
from nodeagent.assembly.node import node_limits
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.config.cpu_options import cpu_options
from nodeagent.config.topology_options import topology_options
from nodeagent.errors import AgentStartError, Misconfigured
from nodeagent.folders import Folders
from nodeagent.node.capacity import DeviceCount, reserved, threshold
from nodeagent.node.state import NodeState
from nodeagent.pods.manager_handle import ManagerHandle
from nodeagent.pods.paths import PodPaths
from nodeagent.resources import cpuset
from nodeagent.resources.assignments import Assignments
from nodeagent.resources.cpu.manager import CPUManager, StaticCPUManager
from nodeagent.resources.cpu.picking import NotEnough, pick
from nodeagent.resources.cpu.topology import Topology, read_topology
from nodeagent.resources.cpuset import CPUSet
from nodeagent.resources.devices.inventory import Inventory
from nodeagent.resources.devices.manager import DeviceManager
from nodeagent.resources.devices.registration import FOLDER, prepare_folder, registration
from nodeagent.resources.devices.state import DeviceState
from nodeagent.resources.dra.manager import DRAManager
from nodeagent.resources.grpc_socket import GRPCSocket
from nodeagent.resources.memory.manager import NONE as MEMORY_NONE
from nodeagent.resources.memory.manager import STATIC, MemoryManager
from nodeagent.resources.memory.nodes import MEMORY, BadReservation, check_sums, read_totals, rooms
from nodeagent.resources.memory.state import FILE as MEMORY_FILE
from nodeagent.resources.memory.state import MemoryState, check_other_policy
from nodeagent.resources.placement import NONE, Placement, read_distances, read_nodes
from nodeagent.resources.pod_resources import PodResources, pod_resources_socket
from nodeagent.sources.merger import PodMerger
from runtimes.kube import quantity

log = logging.getLogger(__name__)
_Fact = TypeVar("_Fact")


async def start_cpu_manager(scope: Scope, config: Config, folders: Folders) -> CPUManager:
    """Raises AgentStartError, BadState."""
    kubelet = config.kubelet
    listed = cpuset.parse(kubelet.reservedSystemCPUs)
    if kubelet.cpuManagerPolicy == "static":
        topology = _of_machine(read_topology)
        options = cpu_options(
            kubelet.cpuManagerPolicy,
            kubelet.cpuManagerPolicyOptions,
            alpha=kubelet.featureGates.get("CPUManagerPolicyAlphaOptions", False),
        )
        if options.align_by_socket and len(topology.sockets) > len(topology.nodes):
            raise Misconfigured("cpuManagerPolicyOptions: align-by-socket: there are more sockets than NUMA nodes")
        manager: CPUManager = StaticCPUManager(
            folders.root, topology, listed or reserved_cpus(config, topology), options
        )
    else:
        manager = CPUManager(folders.root)
    manager.load()
    await manager.save()
    return manager


def reserved_cpus(config: Config, topology: Topology) -> CPUSet:
    """As many whole CPUs as it takes to hold what is reserved, the lowest that lie together. Raises Misconfigured."""
    both = (config.kubelet.systemReserved, config.kubelet.kubeReserved)
    count = math.ceil(sum(quantity.parse(each.get("cpu", "0")) for each in both))
    try:
        return pick(topology, topology.all, count)
    except NotEnough as error:
        raise Misconfigured(f"systemReserved.cpu, kubeReserved.cpu: {error}") from error


async def start_device_manager(
    scope: Scope, folders: Folders, state: NodeState, paths: PodPaths, pods: ManagerHandle
) -> DeviceManager:
    """Device plugins register from here on. Raises BadState, OSError."""
    folder = folders.root / FOLDER
    prepare_folder(folder)
    held = DeviceState(folder)
    held.load()

    def show() -> None:
        counts = inventory.counts().items()
        state.set_devices({name: DeviceCount(total=it.total, healthy=it.healthy) for name, it in counts})

    def changed(resource: str) -> None:
        show()
        scope.tasks.create_task(save(), name="device checkpoint")
        for uid in held.holders_of(resource):
            pods.wake(uid)  # their status tells of their devices' health

    async def save() -> None:
        try:
            await held.save()
        except OSError as error:
            log.warning("devices are not on the disk: %s", error)

    inventory = Inventory(held, start=lambda work, name: scope.tasks.create_task(work, name=name), changed=changed)
    show()
    await _serve(scope, registration(folder, inventory.register), "device plugins cannot register")
    return DeviceManager(held, inventory, begun=lambda uid: paths.pod_dir(uid).is_dir())


async def start_pod_resources(
    scope: Scope,
    folders: Folders,
    cpus: CPUManager,
    devices: DeviceManager,
    memory: MemoryManager,
    claims: DRAManager,
    pods: ManagerHandle,
) -> None:
    """What monitoring agents ask."""
    served = PodResources(cpus, devices, memory, claims, pods.active_pods)
    await _serve(scope, pod_resources_socket(folders.root, served), "pod resources cannot be served")


def placement(config: Config) -> Placement:
    """The topology manager. Raises AgentStartError."""
    kubelet = config.kubelet
    if kubelet.topologyManagerPolicy in ("", NONE):
        return Placement()
    options, nodes = topology_options(kubelet.topologyManagerPolicyOptions), _of_machine(read_nodes)
    if len(nodes) > options.most_nodes:
        raise Misconfigured(
            f"topologyManagerPolicy: unsupported on machines with more than {options.most_nodes} NUMA Nodes "
            f"(this one has {len(nodes)}; see max-allowable-numa-nodes of topologyManagerPolicyOptions)"
        )
    return Placement(
        policy=kubelet.topologyManagerPolicy,
        nodes=nodes,
        whole_pod=kubelet.topologyManagerScope == "pod",
        distances=_of_machine(read_distances) if options.closest else {},
    )


async def start_memory_manager(scope: Scope, config: Config, host: Host, folders: Folders) -> MemoryManager:
    """Raises AgentStartError, BadState."""
    kubelet = config.kubelet
    if kubelet.memoryManagerPolicy != STATIC:
        check_other_policy(folders.root / MEMORY_FILE, MEMORY_NONE)
        return MemoryManager()
    shares: dict[int, dict[str, int]] = {}
    for each in kubelet.reservedMemory:
        own = shares.setdefault(each.numaNode, {})
        own |= {name: quantity.value(text) for name, text in each.limits.items()}
    limits, total = node_limits(config), quantity.from_bytes(host.machine.memory_bytes)
    try:
        check_sums(shares, {MEMORY: reserved(MEMORY, limits) + threshold(MEMORY, total, limits)})
        state = MemoryState(folders.root, STATIC, rooms(_of_machine(read_totals), shares))
    except BadReservation as error:
        raise Misconfigured(f"reservedMemory: {error}") from error
    state.load()
    await state.save()
    return MemoryManager(state)


async def start_assignments(
    scope: Scope,
    config: Config,
    cpus: CPUManager,
    devices: DeviceManager,
    memory: MemoryManager,
    claims: DRAManager,
    pods: ManagerHandle,
    merger: PodMerger,
) -> Assignments:
    """What pods were given: by whom they are admitted, and their configurations made. Raises AgentStartError."""

    def changed() -> None:
        """The CPUs that all others share may be others now."""
        for pod in pods.active_pods():
            pods.wake(pod.uid)

    assignments = Assignments(
        placement=placement(config),
        cpus=cpus,
        devices=devices,
        memory=memory,
        claims=claims,
        known=pods.known_uids,
        ready=lambda: merger.all_seen,
        changed=changed,
    )
    scope.loop(assignments.run, "assignments")
    return assignments


async def _serve(scope: Scope, socket: GRPCSocket, trouble: str) -> None:
    """Until the part stops. Where it cannot listen, below a root whose path is too long for a socket, pods run all the same."""
    try:
        await socket.start()
    except OSError as error:
        log.warning("%s: %s", trouble, error)
        scope.trouble(trouble, str(error))
        return
    scope.stack.push_async_callback(socket.stop)


def _of_machine(read: Callable[[], _Fact]) -> _Fact:
    """Raises AgentStartError where /sys does not tell."""
    try:
        return read()
    except (OSError, ValueError) as error:
        raise AgentStartError(f"the machine's CPUs cannot be read: {error}") from error
