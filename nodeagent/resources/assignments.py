"""What containers are given of the node for themselves: asked of all resource managers at once, as the pod is admitted.

assign ─> placement (which NUMA nodes) ─> each manager's allocate ─> saved
release: the pod has ended, or was refused
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from lightkube.models.core_v1 import Container, ResourceHealth, ResourceStatus

from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.resources import cpuset
from nodeagent.resources.containers import in_order
from nodeagent.resources.contract import ANYWHERE, Assigned, CannotAssign, CannotPrepare, Hint, ResourceManager
from nodeagent.resources.cpu.manager import CPUManager
from nodeagent.resources.devices.manager import DeviceManager
from nodeagent.resources.dra.manager import DRAManager
from nodeagent.resources.dra.pod_claims import NotPrepared
from nodeagent.resources.memory.manager import MemoryManager
from nodeagent.resources.placement import Placement
from proto import cri_pb2 as cri
from proto import deviceplugin_pb2 as api

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0


class Assignments:
    """`known`: pods that the agent knows; what others have is taken back once `ready`.

    `changed`: a pod was given CPUs, or has given them back; all others share what is left. Methods belong to the event loop.
    """

    def __init__(
        self,
        *,
        placement: Placement,
        cpus: CPUManager,
        devices: DeviceManager,
        memory: MemoryManager,
        claims: DRAManager,
        known: Callable[[], Collection[str]],
        ready: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        self._placement = placement
        self._cpus = cpus
        self._devices = devices
        self._memory = memory
        self._claims = claims
        self._managers: tuple[ResourceManager, ...] = (devices, cpus, memory)
        self._known = known
        self._ready = ready
        self._changed = changed
        self._unsaved = asyncio.Event()
        self._unsaved.set()

    def concerns(self, pod: AgentPod) -> bool:
        """Whether anything is to be given to any container of the pod."""
        return any(manager.concerns(pod) for manager in self._managers)

    async def assign(self, pod: AgentPod) -> None:
        """Give every container what it needs, and have it on the disk; or give nothing, and raise CannotAssign."""
        self._release_strangers()
        before = self._holds(pod.uid)  # of a pod that runs since before this agent: whoever ends it takes it back
        try:
            await self._give(pod)
            await self._save()
        except BaseException as error:
            if not before:
                self.release(pod.uid)
            if isinstance(error, OSError):
                raise CannotAssign(str(error)) from error
            raise
        if self._cpus.exclusive(pod.uid):
            self._changed()

    def release(self, uid: PodUID) -> None:
        """Take back what the pod has. Nothing there is fine."""
        if self._holds(uid):
            had_cpus = bool(self._cpus.exclusive(uid))
            for manager in self._managers:
                manager.release(uid)
            self._unsaved.set()
            if had_cpus:
                self._changed()

    async def prepare(self, pod: AgentPod, container: str) -> Assigned:
        """What the container has for itself, ready to be used. Raises CannotPrepare."""
        claimed = self._claimed(pod, container)
        wanted = await self._devices.prepare(pod.uid, container)
        return Assigned(
            cpus=self.cpus_of(pod.uid, container),
            memory_nodes=self._memory.nodes_of(pod.uid, container),
            exclusive_cpus=container in self._cpus.exclusive(pod.uid),
            environment={name: value for each in wanted for name, value in each.envs.items()},
            mounts=tuple(_mount(mount) for each in wanted for mount in each.mounts),
            devices=tuple(_device(device) for each in wanted for device in each.devices),
            annotations={name: value for each in wanted for name, value in each.annotations.items()},
            cdi_names=tuple(dict.fromkeys([*claimed, *(cdi.name for each in wanted for cdi in each.cdi_devices)])),
        )

    def cpus_of(self, uid: PodUID, container: str) -> str:
        """The list of CPUs that a container is to run on now; empty: as it is."""
        return cpuset.text_of(self._cpus.cpus_of(uid, container))

    def health_of(self, pod: AgentPod, container: Container) -> tuple[ResourceStatus, ...]:
        """How the container's devices are, for the pod's status: those of plugins by their names, then its claims'."""
        plugins = self._devices.health_of(pod.uid, container.name)
        return (
            *(
                ResourceStatus(
                    name=name, resources=[ResourceHealth(resourceID=id, health=it) for id, it in sorted(own.items())]
                )
                for name, own in sorted(plugins.items())
            ),
            *self._claims.health_of(pod, container),
        )

    def in_use(self) -> Mapping[str, int]:
        """Devices that pods have, by resource."""
        return self._devices.in_use()

    async def run(self) -> None:
        """Write down what is taken back, for good. A disk that takes nothing is tried again."""
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            try:
                await self._save()
            except OSError as error:
                log.warning("what containers have for themselves is not on the disk: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                self._unsaved.set()

    def _claimed(self, pod: AgentPod, name: str) -> tuple[str, ...]:
        container = next((each for each in in_order(pod) if each.name == name), None)
        try:
            return self._claims.cdi_ids(pod, container) if container is not None else ()
        except NotPrepared as error:
            raise CannotPrepare(str(error)) from error

    async def _give(self, pod: AgentPod) -> None:
        containers = in_order(pod)
        hint = self._place(pod, containers) if self._placement.whole_pod else ANYWHERE
        for container in containers:
            if not self._placement.whole_pod:
                hint = self._place(pod, [container])
            for manager in self._managers:
                await manager.allocate(pod, container, hint)

    def _place(self, pod: AgentPod, containers: Sequence[Container]) -> Hint:
        if not self._placement.asks:
            return ANYWHERE
        return self._placement.place([manager.hints(pod, containers) for manager in self._managers])

    def _holds(self, uid: PodUID) -> bool:
        return any(uid in manager.holders() for manager in self._managers)

    def _release_strangers(self) -> None:
        """Pods that have gone while they were judged, or while no agent ran."""
        if self._ready():
            known = self._known()
            for uid in frozenset().union(*(manager.holders() for manager in self._managers)):
                if uid not in known:
                    self.release(uid)

    async def _save(self) -> None:
        for manager in self._managers:
            await manager.save()


def _mount(wanted: api.Mount) -> cri.Mount:
    return cri.Mount(container_path=wanted.container_path, host_path=wanted.host_path, readonly=wanted.read_only)


def _device(wanted: api.DeviceSpec) -> cri.Device:
    return cri.Device(container_path=wanted.container_path, host_path=wanted.host_path, permissions=wanted.permissions)
