"""The pod's cgroup: it exists, with its limits, before anything of the pod runs."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import ClassVar, Protocol

from typing_extensions import override

from nodeagent.api.events import WARNING, Events
from nodeagent.cgroups.pod_cgroups import KeptMemory
from nodeagent.pods.steps.contract import SlotName, Step, StepError, SyncPass
from nodeagent.pods.teardown import Teardown
from nodeagent.pods.translation.resources import HostLimits, pod_cgroup_limits
from nodeagent.pods.translation.unheld import REASON, unheld_limits
from nodeagent.podspec.kept_sum import KeptSum
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.podspec.qos import BURSTABLE, GUARANTEED, qos_class
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits
from runtimes.linux.cgroups.units import cpu_shares


class PodCgroups(Protocol):
    """The pods' cgroups on this node. Errors are CgroupError."""

    async def ensure(self, uid: str, qos: str, limits: CgroupLimits) -> str:
        """Make the pod's, or bring its limits in line; the cgroup parent of its sandbox."""
        ...

    async def set_class_limits(self, shares: int, memory: KeptMemory | None) -> None:
        """The Burstable class's shares; and the memory that reclaim leaves to classes, None: not said."""
        ...

    async def remove(self, uid: str) -> None:
        """With whatever still runs in it. Nothing there is fine."""
        ...


class CgroupStep(Step):
    """`active_pods`: for the shares of the Burstable class, which follow the requests of its pods.

    `exclusive_cpus`: whether containers of the pod have CPUs for themselves, which no quota is to slow down.
    """

    name: ClassVar[str] = "cgroup"
    deadline_seconds: ClassVar[float | None] = 30.0
    provides: ClassVar[tuple[SlotName, ...]] = ("cgroup_parent",)

    def __init__(
        self,
        cgroups: PodCgroups,
        host: HostLimits,
        active_pods: Callable[[], Sequence[AgentPod]],
        events: Events,
        exclusive_cpus: Callable[[PodUID], bool] = lambda uid: False,
    ) -> None:
        self._cgroups = cgroups
        self._host = host
        self._active_pods = active_pods
        self._events = events
        self._exclusive_cpus = exclusive_cpus
        self._burstable, self._guaranteed = KeptSum(_is_of(BURSTABLE)), KeptSum(_is_of(GUARANTEED))
        self._told: tuple[int, KeptMemory | None] | None = None

    @override
    async def run(self, work: SyncPass) -> None:
        qos = qos_class(work.pod.spec, work.pod.status)
        limits = pod_cgroup_limits(work.pod, self._host, exclusive_cpus=self._exclusive_cpus(work.uid))
        if unheld := unheld_limits(work.pod, self._host):
            self._events.event(work.pod, WARNING, REASON, unheld)
        try:
            work.cgroup_parent.set(await self._cgroups.ensure(work.uid, qos, limits))
            await self._update_classes()
        except CgroupError as error:
            raise StepError(
                f"unable to ensure pod container exists: {error}", event_reason="FailedCreatePodContainer"
            ) from error

    async def requests_changed(self) -> None:
        """Bring the classes in line with what their pods ask for now. Raises CgroupError."""
        await self._update_classes()

    async def refresh(self) -> None:
        """The same, whatever they were told last: somebody else may have told them something. Raises CgroupError."""
        self._told = None
        await self._update_classes()

    @override
    async def undo(self, teardown: Teardown) -> None:
        await self._cgroups.remove(teardown.uid)
        await self._update_classes()

    async def _update_classes(self) -> None:
        pods = self._active_pods()
        burstable = self._burstable.of(pods)
        kept: KeptMemory | None = None
        if self._host.memory_qos is not None and self._host.memory_qos.tiered:
            some = math.ceil(burstable.get("memory", 0))
            guaranteed = self._guaranteed.of(pods)
            kept = KeptMemory(node_bytes=some + math.ceil(guaranteed.get("memory", 0)), burstable_bytes=some)
        wanted = (cpu_shares(int(burstable.get("cpu", Fraction(0)) * 1000)), kept)
        if wanted != self._told:
            await self._cgroups.set_class_limits(*wanted)
            self._told = wanted


def _is_of(qos: str) -> Callable[[AgentPod], bool]:
    return lambda pod: qos_class(pod.spec, pod.status) == qos
