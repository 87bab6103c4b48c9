"""The device manager: devices of plugins, counted on the Node and given to containers. Source: docs/facts/node-resources.md 12.1.

registration ─> Inventory (plugins, their devices) ─> counts on the Node
admission ─> hints, allocate (choose, ask the plugin) ─> state on the disk
containers ─> prepare (PreStartContainer) ─> envs, mounts, devices, annotations, CDI names
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction

from lightkube.models.core_v1 import Container
from typing_extensions import override

from nodeagent.podspec.effective import Amounts, amounts
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.resources.containers import in_order, needed_at_once, reusable
from nodeagent.resources.contract import CannotAssign, CannotPrepare, Hint, Hints, ResourceManager
from nodeagent.resources.devices.device import UNKNOWN, Devices
from nodeagent.resources.devices.inventory import Inventory
from nodeagent.resources.devices.plugin import PluginError
from nodeagent.resources.devices.plugin_handler import DevicePluginHandler
from nodeagent.resources.devices.state import NO_NODE, DeviceState, Holding
from proto import deviceplugin_pb2 as api


class DeviceManager(ResourceManager):
    """`begun`: whether an agent before this one has begun the pod: what runs keeps its devices, whatever has become of them."""

    def __init__(self, state: DeviceState, inventory: Inventory, begun: Callable[[PodUID], bool]) -> None:
        self._state = state
        self._inventory = inventory
        self._begun = begun

    @override
    def concerns(self, pod: AgentPod) -> bool:
        return any(self._wanted(item) for item in in_order(pod))

    @override
    def hints(self, pod: AgentPod, containers: Sequence[Container]) -> Hints:
        found: dict[str, Sequence[Hint] | None] = {}
        for resource, count in self._together(pod, containers).items():
            devices = self._inventory.devices(resource)
            held = frozenset[str]().union(*(self._state.get(pod.uid, item.name, resource) for item in containers))
            free = held or self._free(resource) | self._reusable(pod, resource)
            if not any(device.nodes for device in devices.values()):
                found[resource] = None
            else:
                found[resource] = _hints(count, free, devices)
        return found

    @override
    async def allocate(self, pod: AgentPod, container: Container, hint: Hint) -> None:
        for resource, count in self._wanted(container).items():
            await self._allocate(pod, container.name, resource, count, hint)

    @override
    def release(self, uid: PodUID) -> None:
        self._state.remove(uid)

    @override
    def holders(self) -> frozenset[PodUID]:
        return self._state.uids()

    @override
    async def save(self) -> None:
        await self._state.save()

    def in_use(self) -> dict[str, int]:
        """How many devices of each resource containers have."""
        return {name: len(self._state.used(name)) for name in self._inventory.resources()}

    @property
    def is_new(self) -> bool:
        """No agent before has counted devices here: what the Node says of them is nobody's."""
        return self._state.is_new

    @property
    def registration(self) -> DevicePluginHandler:
        """For plugins that are found by the watched folder."""
        return DevicePluginHandler(self._inventory)

    def holdings(self, uid: PodUID, container: str) -> Sequence[Holding]:
        """What the container has, by resource."""
        return tuple(self._state.of(uid, container))

    def health_of(self, uid: PodUID, container: str) -> Mapping[str, Mapping[str, str]]:
        """Of the container's devices, by resource and id. One that its plugin tells nothing of is of unknown health."""
        found = {}
        for holding in self.holdings(uid, container):
            devices = self._inventory.devices(holding.resource)
            found[holding.resource] = {id: devices[id].health if id in devices else UNKNOWN for id in holding.ids}
        return found

    def healthy(self) -> Mapping[str, Devices]:
        """All devices that containers could have, by resource."""
        return {
            name: {id: device for id, device in self._inventory.devices(name).items() if device.healthy}
            for name in self._inventory.resources()
        }

    async def prepare(self, uid: PodUID, container: str) -> tuple[api.ContainerAllocateResponse, ...]:
        """What makes the container's devices usable in it; their plugins have been told that it starts. Raises CannotPrepare."""
        found = []
        for holding in self.holdings(uid, container):
            endpoint = self._inventory.endpoint(holding.resource)
            if endpoint is None:
                raise CannotPrepare(f"endpoint not found in cache for a registered resource: {holding.resource}")
            if endpoint.options.pre_start_required:
                try:
                    await endpoint.plugin.pre_start(sorted(holding.ids))
                except PluginError as error:
                    raise CannotPrepare(f"device plugin PreStartContainer rpc failed with err: {error}") from error
            found.append(api.ContainerAllocateResponse.FromString(holding.answer))
        return tuple(found)

    async def _allocate(self, pod: AgentPod, container: str, resource: str, count: int, hint: Hint) -> None:
        held, devices = self._state.get(pod.uid, container, resource), self._inventory.devices(resource)
        if held and self._begun(pod.uid):
            return
        endpoint = self._inventory.endpoint(resource)
        healthy = frozenset(id for id, device in devices.items() if device.healthy)
        if endpoint is None and not devices:
            raise CannotAssign(f"cannot allocate unregistered device {resource}")
        if not healthy or endpoint is None:
            raise CannotAssign(f"no healthy devices present; cannot allocate unhealthy devices {resource}")
        if held:
            if not held <= healthy:
                raise CannotAssign(
                    f"previously allocated devices are no longer healthy; cannot allocate unhealthy devices {resource}"
                )
            return
        again = sorted(self._reusable(pod, resource) & healthy)[:count]
        free = self._free(resource)
        if len(again) + len(free) < count:
            raise CannotAssign(
                f"requested number of devices unavailable for {resource}. "
                f"Requested: {count - len(again)}, Available: {len(free)}"
            )
        try:
            chosen = [*again]
            for group in _by_nearness(free, devices, hint):
                left = count - len(chosen)
                if 0 < left < len(group) and endpoint.options.get_preferred_allocation_available:
                    told = await endpoint.plugin.preferred(sorted(group | set(chosen)), chosen, count)
                    chosen += [id for id in dict.fromkeys(told) if id in group][:left]
                    left = count - len(chosen)
                chosen += sorted(group - set(chosen))[:left]
            answer = await endpoint.plugin.allocate(sorted(chosen))
        except PluginError as error:
            raise CannotAssign(f"rpc error: {error}") from error
        self._state.add(pod.uid, container, resource, _by_node(chosen, devices), answer.SerializeToString())

    def _wanted(self, container: Container) -> dict[str, int]:
        """Devices by resource: of those resources that a plugin has, or had, on this node."""
        limits = amounts(container.resources, "limits")
        return {name: int(count) for name, count in limits.items() if count and self._inventory.knows(name)}

    def _together(self, pod: AgentPod, containers: Sequence[Container]) -> dict[str, int]:
        total = needed_at_once(pod, containers, self._amounts)
        return {name: int(count) for name, count in total.items()}

    def _amounts(self, container: Container) -> Amounts:
        return {name: Fraction(count) for name, count in self._wanted(container).items()}

    def _free(self, resource: str) -> frozenset[str]:
        devices = self._inventory.devices(resource)
        return frozenset(id for id, device in devices.items() if device.healthy) - self._state.used(resource)

    def _reusable(self, pod: AgentPod, resource: str) -> frozenset[str]:
        return reusable(pod, {item.name: self._state.get(pod.uid, item.name, resource) for item in in_order(pod)})


def _by_nearness(free: frozenset[str], devices: Devices, hint: Hint) -> list[frozenset[str]]:
    """The free devices at the nodes of the hint, those at no node, and the rest; without a hint all are one."""
    if hint.nodes is None:
        return [free]
    near = frozenset(id for id in free if devices[id].nodes & hint.nodes)
    nowhere = frozenset(id for id in free if not devices[id].nodes)
    return [near, nowhere, free - near - nowhere]


def _by_node(ids: Iterable[str], devices: Devices) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for id in sorted(ids):
        for node in sorted(devices[id].nodes) or [NO_NODE]:
            found.setdefault(str(node), []).append(id)
    return found


def _hints(count: int, free: frozenset[str], devices: Devices) -> list[Hint]:
    """Every set of nodes with enough free devices; preferred: as few nodes as it takes when none is used."""
    nodes = sorted(frozenset().union(*(device.nodes for device in devices.values())))
    found: list[tuple[frozenset[int], int]] = []
    fewest = len(nodes)
    for size in range(1, len(nodes) + 1):
        for chosen in map(frozenset, itertools.combinations(nodes, size)):
            at = frozenset(id for id, device in devices.items() if not device.nodes or device.nodes & chosen)
            if len(at) >= count:
                fewest = min(fewest, size)
            if len(at & free) >= count:
                found.append((chosen, size))
    return [Hint(nodes=chosen, preferred=size == fewest) for chosen, size in found]
