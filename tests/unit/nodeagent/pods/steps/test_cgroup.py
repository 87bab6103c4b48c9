"""nodeagent.pods.steps.cgroup: the pod's cgroup with its limits, and the Burstable class in line with its pods."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from nodeagent.api.events import LoggingEvents
from nodeagent.cgroups.pod_cgroups import KeptMemory
from nodeagent.pods.steps.cgroup import CgroupStep
from nodeagent.pods.steps.contract import StepError
from nodeagent.pods.translation.memory_qos import MemoryQoS
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

    async def set_class_limits(self, shares: int, memory: KeptMemory | None) -> None:
        kept = "" if memory is None else f", {memory.burstable_bytes} of {memory.node_bytes} bytes kept"
        self.diary.append(f"burstable shares {shares}{kept}")

    async def remove(self, uid: str) -> None:
        self.diary.append(f"remove {uid}")


def pod_with(kit: Any, cpu: str) -> AgentPod:
    pod: AgentPod = kit.pod([{"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"memory": "64Mi"}}}])
    return pod


HOST = HostLimits(memory_capacity_bytes=8 << 30, cgroup_v2=False, controllers=frozenset({"cpu", "memory", "pids"}))


async def test_the_cgroup_is_there_with_its_limits_before_anything_waits_for_it(kit: Any, world: Any) -> None:
    """The sandbox gets its place; the Burstable class has the shares of its pods, told to the kernel only when they differ."""
    cgroups, active = Cgroups(), [pod_with(kit, "500m"), replace(pod_with(kit, "1"), uid=PodUID("uid-2"))]
    step = CgroupStep(cgroups, HOST, lambda: active, LoggingEvents())
    work = world.work(active[0])
    await step.run(work)
    assert await work.cgroup_parent.get() == "/kubepods/uid-1"
    assert cgroups.limits is not None
    assert (cgroups.limits.cpu_shares, cgroups.limits.memory_limit_bytes) == (512, 64 << 20)
    await step.run(world.work(active[0]))
    assert cgroups.diary == ["ensure uid-1 in Burstable", "burstable shares 1536", "ensure uid-1 in Burstable"]
    del active[1]
    await step.requests_changed()
    await step.requests_changed()
    assert cgroups.diary[3:] == ["burstable shares 512"]
    await step.refresh()
    assert cgroups.diary[4:] == ["burstable shares 512"]


async def test_memory_is_kept_for_who_asks(kit: Any) -> None:
    """With MemoryQoS in tiers: the node keeps what Guaranteed and Burstable pods ask for, the Burstable class its own."""
    cgroups = Cgroups()
    amounts = {"cpu": "1", "memory": "8Ki"}
    sure = kit.pod([{"name": "c", "resources": {"requests": amounts, "limits": amounts}}])
    some = kit.pod([{"name": "c", "resources": {"requests": {"memory": "4Ki"}}}])
    tiers = MemoryQoS(throttling_factor=Fraction(9, 10), tiered=True, allocatable_bytes=1 << 30, page_bytes=4096)
    host = HostLimits(memory_capacity_bytes=8 << 30, cgroup_v2=True, memory_qos=tiers)
    await CgroupStep(cgroups, host, lambda: [sure, some, kit.pod()], LoggingEvents()).requests_changed()
    assert cgroups.diary == ["burstable shares 2, 4096 of 12288 bytes kept"]


async def test_a_cgroup_that_cannot_be_made_is_told(kit: Any, world: Any) -> None:
    """With the event of the kubelet."""
    cgroups = Cgroups()
    cgroups.fault = CgroupError("no space")
    with pytest.raises(StepError) as caught:
        await CgroupStep(cgroups, HOST, list, LoggingEvents()).run(world.work(pod_with(kit, "1")))
    assert (str(caught.value), caught.value.event_reason) == (
        "unable to ensure pod container exists: no space",
        "FailedCreatePodContainer",
    )


async def test_the_end_removes_it(kit: Any, world: Any) -> None:
    """By the pod's UID, whatever class it was in; its class no longer has its shares."""
    cgroups = Cgroups()
    await CgroupStep(cgroups, HOST, list, LoggingEvents()).undo(world.teardown(kit.pod()))
    assert cgroups.diary == ["remove uid-1", "burstable shares 2"]
