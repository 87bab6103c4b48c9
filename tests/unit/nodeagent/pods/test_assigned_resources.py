"""nodeagent.pods.assigned_resources: running containers follow the shared CPUs."""

from typing import Any

from lightkube.models.core_v1 import Container, ResourceStatus
from recorded_runtime import RecordedRuntime, runtime_of

from nodeagent.pods.assigned_resources import AssignedResources
from nodeagent.pods.rules.model import Instance, Observed
from nodeagent.podspec.pod import AgentPod, PodUID
from proto import cri_pb2 as cri


class Assignments:
    def __init__(self) -> None:
        self.cpus = ""
        self.released: list[str] = []

    def cpus_of(self, uid: PodUID, container: str) -> str:
        return self.cpus

    def health_of(self, pod: AgentPod, container: Container) -> tuple[ResourceStatus, ...]:
        return (ResourceStatus(name=f"of {container.name}"),) if container.name == "c" else ()

    def release(self, uid: PodUID) -> None:
        self.released.append(uid)


def instance(id: str, cpus: str = "", state: Any = cri.CONTAINER_RUNNING) -> Instance:
    resources = cri.ContainerResources(linux=cri.LinuxContainerResources(cpuset_cpus=cpus))
    labels = {"io.kubernetes.container.name": "c"}
    return Instance(sandbox_id="s", status=cri.ContainerStatus(id=id, state=state, labels=labels, resources=resources))


class Told(RecordedRuntime):
    """Writes down which CPUs containers are given."""

    async def update_container_resources(self, request: Any) -> Any:
        self.diary.append(f"{request.container_id} on {request.linux.cpuset_cpus}")
        return cri.UpdateContainerResourcesResponse()


async def test_containers_follow_the_shared_cpus(kit: Any) -> None:
    """Those that run elsewhere are told once; by a runtime that tells what it was told, and by one that does not."""
    assignments, diary = Assignments(), list[str]()
    feature, pod, runtime = AssignedResources(assignments), kit.pod(["c"]), runtime_of(Told(diary))
    observed = Observed(
        instances=(
            instance("silent"),
            instance("there", "0-3"),
            instance("behind", "0-1"),
            instance("dead", "0", cri.CONTAINER_EXITED),
        )
    )
    assert not feature.observed(pod, observed).has_work  # no CPUs are set here at all
    assignments.cpus = "0-3"
    assert feature.observed(pod, observed).has_work
    await feature.act(runtime, pod, observed)
    assert diary == ["silent on 0-3", "behind on 0-3"]
    told = Observed(instances=(instance("silent"), instance("there", "0-3"), instance("behind", "0-3")))
    assert not feature.observed(pod, told).has_work


def test_the_status_tells_of_devices(kit: Any) -> None:
    """Of those containers that have any."""
    found = AssignedResources(Assignments()).status(kit.pod(["c", "other"]))
    assert dict(found.health) == {"c": (ResourceStatus(name="of c"),)}


def test_the_end_gives_all_back(kit: Any) -> None:
    """When nothing of the pod runs any more."""
    assignments = Assignments()
    AssignedResources(assignments).ended(PodUID("u"))
    assert assignments.released == ["u"]
