"""The pod's cgroup: it exists, with its limits, before anything of the pod runs."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import ClassVar, Protocol

from typing_extensions import override

from nodeagent.pods.steps.contract import SlotName, Step, StepError, SyncPass
from nodeagent.pods.teardown import Teardown
from nodeagent.pods.translation.resources import HostLimits, pod_cgroup_limits
from nodeagent.podspec.kept_sum import KeptSum
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.podspec.qos import BURSTABLE, qos_class
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits
from runtimes.linux.cgroups.units import cpu_shares


class PodCgroups(Protocol):
    """The pods' cgroups on this node. Errors are CgroupError."""

    async def ensure(self, uid: str, qos: str, limits: CgroupLimits) -> str:
        """Make the pod's, or bring its limits in line; the cgroup parent of its sandbox."""
        ...

    async def set_burstable_shares(self, shares: int) -> None: ...

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
        active_pods: Callable[[], Iterable[AgentPod]],
        exclusive_cpus: Callable[[PodUID], bool] = lambda uid: False,
    ) -> None:
        self._cgroups = cgroups
        self._host = host
        self._active_pods = active_pods
        self._exclusive_cpus = exclusive_cpus
        self._requests = KeptSum()
        self._burstable_shares = 0

    @override
    async def run(self, work: SyncPass) -> None:
        qos = qos_class(work.pod.spec, work.pod.status)
        limits = pod_cgroup_limits(work.pod, self._host, exclusive_cpus=self._exclusive_cpus(work.uid))
        try:
            work.cgroup_parent.set(await self._cgroups.ensure(work.uid, qos, limits))
            await self._update_burstable()
        except CgroupError as error:
            raise StepError(
                f"unable to ensure pod container exists: {error}", event_reason="FailedCreatePodContainer"
            ) from error

    async def requests_changed(self) -> None:
        """Bring the Burstable class in line with what its pods ask for now. Raises CgroupError."""
        await self._update_burstable()

    @override
    async def undo(self, teardown: Teardown) -> None:
        await self._cgroups.remove(teardown.uid)

    async def _update_burstable(self) -> None:
        burstable = [pod for pod in self._active_pods() if qos_class(pod.spec, pod.status) == BURSTABLE]
        shares = cpu_shares(int(self._requests.of(burstable).get("cpu", Fraction(0)) * 1000))
        if shares != self._burstable_shares:
            await self._cgroups.set_burstable_shares(shares)
            self._burstable_shares = shares
