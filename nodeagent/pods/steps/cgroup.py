"""The pod's cgroup: it exists, with its limits, before anything of the pod runs."""

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction

from nodeagent.cgroups.pod_cgroups import PodCgroups
from nodeagent.pods.slot import Slot
from nodeagent.pods.steps.contract import Ending, Work
from nodeagent.pods.steps.engine import StepError
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.pod_resources import HostLimits, effective_requests, pod_cgroup_limits, qos_class
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits
from runtimes.linux.cgroups.units import cpu_shares


class Cgroup:
    """`active_pods`: for the shares of the Burstable class, which follow the requests of its pods."""

    name = "cgroup"
    deadline_seconds = 30.0
    runs_processes = False

    def __init__(self, cgroups: PodCgroups, host: HostLimits, active_pods: Callable[[], Iterable[AgentPod]]) -> None:
        self._cgroups = cgroups
        self._host = host
        self._active_pods = active_pods
        self._burstable_shares = 0

    def provides(self, work: Work) -> tuple[Slot[str], ...]:
        return (work.cgroup_parent,)

    async def run(self, work: Work) -> None:
        qos = qos_class(work.pod)
        try:
            work.cgroup_parent.set(await self._cgroups.ensure(work.uid, qos, self._limits(work.pod)))
            await self._update_burstable()
        except CgroupError as error:
            raise StepError(
                f"unable to ensure pod container exists: {error}", event_reason="FailedCreatePodContainer"
            ) from error

    async def requests_changed(self) -> None:
        """Bring the Burstable class in line with what its pods ask for now. Raises CgroupError."""
        await self._update_burstable()

    async def undo(self, ending: Ending) -> None:
        await self._cgroups.remove(ending.uid)

    async def _update_burstable(self) -> None:
        requests: Iterable[Mapping[str, Fraction]] = (
            effective_requests(pod) for pod in self._active_pods() if qos_class(pod) == "Burstable"
        )
        shares = cpu_shares(int(sum((item.get("cpu", Fraction(0)) for item in requests), Fraction(0)) * 1000))
        if shares != self._burstable_shares:
            await self._cgroups.set_burstable_shares(shares)
            self._burstable_shares = shares

    def _limits(self, pod: AgentPod) -> CgroupLimits:
        limits = pod_cgroup_limits(pod, self._host)
        return CgroupLimits(
            cpu_shares=limits.shares,
            cpu_quota_us=limits.quota_us,
            cpu_period_us=limits.period_us,
            memory_limit_bytes=limits.memory_bytes,
            pids_limit=limits.pids,
            hugetlb_bytes=limits.hugepages_bytes,
        )
