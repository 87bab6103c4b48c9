"""nodeagent.pods.steps.cgroup: the pod's cgroup with its limits, and the Burstable class in line with its pods."""

from dataclasses import replace
from typing import Any

import pytest

from nodeagent.pods.steps.cgroup import CgroupStep
from nodeagent.pods.steps.contract import StepError
from nodeagent.pods.translation.resources import HostLimits
from nodeagent.podspec.pod import AgentPod, PodUID
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits


class Cgroups:
    """Writes down what it is asked."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.limits: CgroupLimits | None = None
        self.fault: CgroupError | None = None

    async def ensure(self, uid: str, qos: str, limits: CgroupLimits) -> str:
        self.diary.append(f"ensure {uid} in {qos}")
        self.limits = limits
        if self.fault is not None:
            raise self.fault
        return f"/kubepods/{uid}"

    async def set_burstable_shares(self, shares: int) -> None:
        self.diary.append(f"burstable shares {shares}")

    async def remove(self, uid: str) -> None:
        self.diary.append(f"remove {uid}")


def pod_with(kit: Any, cpu: str) -> AgentPod:
    pod: AgentPod = kit.pod([{"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"memory": "64Mi"}}}])
    return pod


HOST = HostLimits(memory_capacity_bytes=8 << 30, cgroup_v2=False)


async def test_the_cgroup_is_there_with_its_limits_before_anything_waits_for_it(kit: Any, world: Any) -> None:
    """The sandbox gets its place; the Burstable class has the shares of its pods, told to the kernel only when they differ."""
    cgroups, active = Cgroups(), [pod_with(kit, "500m"), replace(pod_with(kit, "1"), uid=PodUID("uid-2"))]
    step = CgroupStep(cgroups, HOST, lambda: active)
    work = world.work(active[0])
    await step.run(work)
    assert await work.cgroup_parent.get() == "/kubepods/uid-1"
    assert cgroups.limits is not None
    assert (cgroups.limits.cpu_shares, cgroups.limits.memory_limit_bytes) == (512, 64 << 20)
    await step.run(world.work(active[0]))
    assert cgroups.diary == ["ensure uid-1 in Burstable", "burstable shares 1536", "ensure uid-1 in Burstable"]
    del active[1]
    await step.requests_changed()
    assert cgroups.diary[3:] == ["burstable shares 512"]


async def test_a_cgroup_that_cannot_be_made_is_told(kit: Any, world: Any) -> None:
    """With the event of the kubelet."""
    cgroups = Cgroups()
    cgroups.fault = CgroupError("no space")
    with pytest.raises(StepError) as caught:
        await CgroupStep(cgroups, HOST, list).run(world.work(pod_with(kit, "1")))
    assert (str(caught.value), caught.value.event_reason) == (
        "unable to ensure pod container exists: no space",
        "FailedCreatePodContainer",
    )


async def test_the_end_removes_it(kit: Any, world: Any) -> None:
    """By the pod's UID, whatever class it was in."""
    cgroups = Cgroups()
    await CgroupStep(cgroups, HOST, list).undo(world.teardown(kit.pod()))
    assert cgroups.diary == ["remove uid-1"]
