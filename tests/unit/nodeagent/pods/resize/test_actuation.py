"""The order in which resources are put in force, and what stops it (docs/facts/pod-lifecycle.md 4.7)."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from lightkube.models.core_v1 import ResourceRequirements

from nodeagent.pods.resize.actuation import Actuation, Actuator, ResizeFailed
from nodeagent.pods.resize.changes import Actuated, ActuatedContainer, due
from proto import cri_pb2 as cri
from runtimes.errors import Internal, NotSupported
from runtimes.linux.cgroups.contract import CgroupLimits

MIB = 1024 * 1024


@dataclass
class World:
    """The pod's cgroup and its runtime in one: writes down what they are told."""

    current: CgroupLimits
    usage_bytes: int = 0
    fault: Exception | None = None
    told: list[str] = field(default_factory=list)
    handler: str = "runc"

    @property
    def service(self) -> "World":
        return self

    async def exists(self, uid: str, qos: str) -> bool:
        return True

    async def limits(self, uid: str, qos: str) -> CgroupLimits:
        return self.current

    async def memory_usage_bytes(self, uid: str, qos: str) -> int:
        return self.usage_bytes

    async def apply(self, uid: str, qos: str, limits: CgroupLimits) -> None:
        figures = (limits.cpu_shares, limits.cpu_quota_us, limits.memory_limit_bytes)
        self.told.append("pod {} {} {}".format(*("-" if item is None else item for item in figures)))

    async def update_pod_sandbox_resources(self, request: cri.UpdatePodSandboxResourcesRequest) -> None:
        self.told.append(f"sandbox {request.resources.cpu_quota} {request.resources.memory_limit_in_bytes}")
        raise NotSupported("no such verb")

    async def update_container_resources(self, request: cri.UpdateContainerResourcesRequest) -> None:
        if self.fault is not None:
            raise self.fault
        linux = request.linux
        self.told.append(f"{request.container_id} {linux.cpu_quota} {linux.memory_limit_in_bytes}")

    async def container_stats(self, request: cri.ContainerStatsRequest) -> cri.ContainerStatsResponse:
        answer = cri.ContainerStatsResponse()
        answer.stats.memory.usage_bytes.value = self.usage_bytes
        return answer

    async def requests_changed(self) -> None:
        self.told.append("class")


async def put_in_force(kit: Any, world: World, before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What `done` was told of."""
    in_force = {
        name: ActuatedContainer(id=f"{name}-0", resources=ResourceRequirements(**kit.sizes(text)))
        for name, text in before.items()
    }
    pod, observed = kit.pod(**after), kit.observed(*map(kit.instance, after))
    done: list[str] = []
    anything: Any = world
    work = Actuation(
        runtime=anything,
        pod=pod,
        observed=observed,
        due=due(pod, observed, Actuated(containers=in_force)),
        done=lambda change: done.append(f"{change.container.name} {change.resource}"),
    )
    await Actuator(world, kit.host, world.requests_changed).run(work)
    return done


SMALL, LARGE = "100m/200m 32Mi/64Mi", "300m/400m 64Mi/128Mi"
AT_SMALL = CgroupLimits(cpu_shares=102, cpu_quota_us=20000, cpu_period_us=100000, memory_limit_bytes=64 * MIB)
AT_LARGE = CgroupLimits(cpu_shares=307, cpu_quota_us=40000, cpu_period_us=100000, memory_limit_bytes=128 * MIB)


async def test_growing(kit: Any) -> None:
    """The pod first, limit before request; then the container."""
    world = World(AT_SMALL)
    assert await put_in_force(kit, world, {"c": SMALL}, {"c": LARGE}) == ["c memory", "c cpu"]
    assert world.told == [
        f"pod - - {128 * MIB}",
        "pod - 40000 -",
        "pod 307 - -",
        f"sandbox 40000 {128 * MIB}",
        f"c-0 0 {128 * MIB}",
        "c-0 40000 0",
        "class",
    ]


async def test_shrinking(kit: Any) -> None:
    """The container first; then the pod, request before limit."""
    world = World(AT_LARGE)
    await put_in_force(kit, world, {"c": LARGE}, {"c": SMALL})
    assert world.told == [
        f"sandbox 20000 {64 * MIB}",
        f"c-0 0 {64 * MIB}",
        f"pod - - {64 * MIB}",
        "c-0 20000 0",
        "pod 102 - -",
        "pod - 20000 -",
        "class",
    ]


async def test_memory_in_use_is_not_taken(kit: Any) -> None:
    """Both figures are told, of the pod and of each container, and nothing is touched."""
    world = World(AT_LARGE, usage_bytes=64 * MIB)
    with pytest.raises(ResizeFailed) as caught:
        await put_in_force(kit, world, {"c": LARGE}, {"c": SMALL})
    assert str(caught.value) == (
        "cannot decrease memory limits: "
        "[attempting to set pod memory limit (67108864) below current usage (67108864), "
        'attempting to set container "c" memory limit (67108864) below current usage (67108864)]'
    )
    assert world.told == []


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Internal("EBUSY"), "EBUSY"),
        (NotSupported("update"), "runtime runc cannot change the resources of a running container: update"),
    ],
)
async def test_what_a_runtime_refuses_is_told(kit: Any, fault: Exception, text: str) -> None:
    """A runtime that cannot do it at all is named."""
    with pytest.raises(ResizeFailed) as caught:
        await put_in_force(kit, World(AT_SMALL, fault=fault), {"c": SMALL}, {"c": LARGE})
    assert str(caught.value) == text
