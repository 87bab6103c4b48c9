"""What a pod's supervisor asks of resizing, and the answer of a node that does not resize."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from lightkube.models.core_v1 import PodCondition, ResourceRequirements

from nodeagent.pods.resize.changes import Due
from nodeagent.pods.rules.model import Observed
from nodeagent.podspec.pod import AgentPod, PodUID
from runtimes.registry import Runtime

NOTHING_DUE = Due()


class Resizing(Protocol):
    """Pods are given as they have been allocated (`manager` hands no others to supervisors)."""

    def look(self, pod: AgentPod, observed: Observed) -> Due:
        """What is to be put in force now; begins or ends PodResizeInProgress. Only while no work on the pod is under way."""
        ...

    def conditions(self, uid: PodUID) -> tuple[PodCondition, ...]: ...

    def actual(self, pod: AgentPod) -> ResourceRequirements | None:
        """Pod-level resources in force; None: those that are allocated."""
        ...

    def in_force(self, uid: PodUID) -> Mapping[str, ResourceRequirements]:
        """Container id -> the resources that it runs with, as far as they are known."""
        ...

    async def restarting(self, pod: AgentPod, due: Due, replacing: Mapping[str, str]) -> None:
        """Record, before they are stopped, which containers are to start again: for the resize, and (name -> id) otherwise."""
        ...

    async def actuate(self, runtime: Runtime, pod: AgentPod, observed: Observed, due: Due) -> bool:
        """Put in force what can be while containers run. False: not all of it, and the pod's status says why; try again."""
        ...

    def started(self, pod: AgentPod, names: Iterable[str]) -> None:
        """These containers have been started with the pod's resources, in a cgroup that has its limits."""
        ...

    def ended(self, uid: PodUID) -> None:
        """Nothing of the pod runs any more."""
        ...


class NoResizing:
    """Nothing ever differs."""

    def look(self, pod: AgentPod, observed: Observed) -> Due:
        return NOTHING_DUE

    def conditions(self, uid: PodUID) -> tuple[PodCondition, ...]:
        return ()

    def actual(self, pod: AgentPod) -> ResourceRequirements | None:
        return None

    def in_force(self, uid: PodUID) -> Mapping[str, ResourceRequirements]:
        return {}

    async def restarting(self, pod: AgentPod, due: Due, replacing: Mapping[str, str]) -> None:
        return

    async def actuate(self, runtime: Runtime, pod: AgentPod, observed: Observed, due: Due) -> bool:
        return True

    def started(self, pod: AgentPod, names: Iterable[str]) -> None:
        return

    def ended(self, uid: PodUID) -> None:
        return
