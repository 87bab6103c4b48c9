"""A pod's resources of its own while it lives: its running containers follow the shared CPUs, its status tells how its devices
are, and its end gives all back.
"""

from typing import ClassVar, Protocol

from lightkube.models.core_v1 import Container, ResourceStatus
from typing_extensions import override

from nodeagent.pods.features.contract import Contribution, PodFeature, StatusAdditions
from nodeagent.pods.rules.model import Observed
from nodeagent.pods.rules.runtime_view import name_of_instance
from nodeagent.podspec.pod import AgentPod, PodUID
from proto import cri_pb2 as cri
from runtimes.registry import Runtime


class Assignments(Protocol):
    """Who knows what containers were given (`resources.assignments`)."""

    def cpus_of(self, uid: PodUID, container: str) -> str:
        """The CPUs that a container is to run on now; empty: as it is."""
        ...

    def health_of(self, pod: AgentPod, container: Container) -> tuple[ResourceStatus, ...]:
        """How the container's devices are; empty: it has none."""
        ...

    def release(self, uid: PodUID) -> None: ...


class AssignedResources(PodFeature):
    """What a runtime was told last counts where it does not itself tell a container's CPUs."""

    name: ClassVar[str] = "assigned resources"

    def __init__(self, assignments: Assignments) -> None:
        self._assignments = assignments
        self._told: dict[PodUID, dict[str, str]] = {}  # CPUs by container id

    @override
    def observed(self, pod: AgentPod, observed: Observed) -> Contribution:
        return Contribution(has_work=bool(self._due(pod, observed)))

    @override
    def status(self, pod: AgentPod) -> StatusAdditions:
        listed = ((item.name, self._assignments.health_of(pod, item)) for item in pod.spec.containers)
        return StatusAdditions(health={name: found for name, found in listed if found})

    @override
    async def act(self, runtime: Runtime, pod: AgentPod, observed: Observed) -> None:
        for container_id, cpus in self._due(pod, observed).items():
            await runtime.service.update_container_resources(
                cri.UpdateContainerResourcesRequest(
                    container_id=container_id, linux=cri.LinuxContainerResources(cpuset_cpus=cpus)
                )
            )
            self._told.setdefault(pod.uid, {})[container_id] = cpus

    @override
    def ended(self, uid: PodUID) -> None:
        self._told.pop(uid, None)
        self._assignments.release(uid)

    def _due(self, pod: AgentPod, observed: Observed) -> dict[str, str]:
        """Container id -> CPUs that it does not run on yet."""
        found: dict[str, str] = {}
        for instance in observed.instances:
            status = instance.status
            if status.state != cri.CONTAINER_RUNNING:
                continue
            wanted = self._assignments.cpus_of(pod.uid, name_of_instance(instance))
            told = status.resources.linux.cpuset_cpus or self._told.get(pod.uid, {}).get(status.id, "")
            if wanted and wanted != told:
                found[status.id] = wanted
        return found
