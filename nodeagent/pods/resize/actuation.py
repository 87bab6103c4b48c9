"""Putting allocated resources in force: the pod's cgroup and its running containers, in the order that never overshoots.

    pod limit up, pod request up   of memory, then CPU
    the sandbox                    one that holds all processes in a cgroup below the pod's cannot grow before it
    containers, decreases first, then pod request down, pod limit down   of memory, then CPU

Every step may be repeated: the pod's cgroup is compared with what the kernel has, a container with what was recorded after its
last change. Source: docs/facts/pod-lifecycle.md 4.7.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from nodeagent.pods.resize.changes import Due, LiveChange
from nodeagent.pods.rules.model import Observed
from nodeagent.pods.translation.resources import (
    HostLimits,
    container_resources,
    pod_cgroup_limits,
    sandbox_overhead,
    sandbox_resources,
)
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.qos import qos_class
from proto import cri_pb2 as cri
from runtimes.errors import NotSupported, RuntimeFault
from runtimes.kube import quantity
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits
from runtimes.registry import Runtime

NO_LIMIT = -1


class ResizeFailed(Exception):
    """Something could not be put in force; what the condition and the event say. It is tried again."""


class PodCgroup(Protocol):
    """The pods' cgroups, as a resize needs them. Errors are CgroupError."""

    async def limits(self, uid: str, qos: str) -> CgroupLimits: ...

    async def memory_usage_bytes(self, uid: str, qos: str) -> int: ...

    async def apply(self, uid: str, qos: str, limits: CgroupLimits) -> None: ...

    async def exists(self, uid: str, qos: str) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Actuation:
    """One attempt for one pod. `done` is told of every container change that is in force."""

    runtime: Runtime
    pod: AgentPod
    observed: Observed
    due: Due
    done: Callable[[LiveChange], None]


@dataclass(frozen=True, slots=True)
class _Step:
    """One write to the pod's cgroup; `grows` decides whether it comes before the containers or after them."""

    limits: CgroupLimits
    grows: bool


class Actuator:
    """`requests_changed` brings what is above the pod's cgroup in line: the Burstable class follows its pods."""

    def __init__(self, cgroups: PodCgroup, host: HostLimits, requests_changed: Callable[[], Awaitable[None]]) -> None:
        self._cgroups = cgroups
        self._host = host
        self._requests_changed = requests_changed

    async def run(self, work: Actuation) -> None:
        """Raises ResizeFailed; what was done until then stays done."""
        try:
            await self._run(work)
        except NotSupported as error:
            handler = work.runtime.handler
            raise ResizeFailed(
                f"runtime {handler} cannot change the resources of a running container: {error}"
            ) from error
        except (RuntimeFault, CgroupError) as error:
            raise ResizeFailed(str(error)) from error

    async def _run(self, work: Actuation) -> None:
        uid, qos = work.pod.uid, qos_class(work.pod.spec, work.pod.status)
        steps: dict[str, list[_Step]] = {}
        if await self._cgroups.exists(uid, qos):
            current, wanted = await self._cgroups.limits(uid, qos), pod_cgroup_limits(work.pod, self._host)
            steps = {"memory": memory_steps(current, wanted), "cpu": cpu_steps(current, wanted)}
            await self._check_memory(work, current, wanted)
        for listed in steps.values():
            await self._write(work, (step for step in listed if step.grows))
        if work.due.pod or any(steps.values()):
            await self._tell_sandbox(work)
        for resource in ("memory", "cpu"):
            listed = steps.get(resource, [])
            for change in work.due.live:
                if change.resource == resource:
                    await self._change(work, change)
            await self._write(work, (step for step in reversed(listed) if not step.grows))
        await self._requests_changed()

    async def _write(self, work: Actuation, steps: Iterable[_Step]) -> None:
        for step in steps:
            await self._cgroups.apply(work.pod.uid, qos_class(work.pod.spec, work.pod.status), step.limits)

    async def _change(self, work: Actuation, change: LiveChange) -> None:
        made = container_resources(work.pod, change.container, self._host)
        wanted = cri.LinuxContainerResources()
        if change.resource == "memory":
            wanted.memory_limit_in_bytes = made.memory_limit_in_bytes
            wanted.memory_swap_limit_in_bytes = made.memory_swap_limit_in_bytes
        else:
            wanted.cpu_shares, wanted.cpu_quota, wanted.cpu_period = made.cpu_shares, made.cpu_quota, made.cpu_period
        if wanted != cri.LinuxContainerResources():  # a memory request alone is nothing that a runtime knows of
            await work.runtime.service.update_container_resources(
                cri.UpdateContainerResourcesRequest(container_id=change.container_id, linux=wanted)
            )
        work.done(change)

    async def _tell_sandbox(self, work: Actuation) -> None:
        sandbox = next((item for item in work.observed.sandboxes if item.state == cri.SANDBOX_READY), None)
        if sandbox is None:
            return
        request = cri.UpdatePodSandboxResourcesRequest(
            pod_sandbox_id=sandbox.id,
            overhead=sandbox_overhead(work.pod.spec, self._host),
            resources=sandbox_resources(work.pod.spec, self._host),
        )
        with contextlib.suppress(NotSupported):  # many runtimes have nothing to do there
            await work.runtime.service.update_pod_sandbox_resources(request)

    async def _check_memory(self, work: Actuation, current: CgroupLimits, wanted: CgroupLimits) -> None:
        """Refuse a limit at or below what is in use: the kernel would kill for it, or not take it."""
        found: list[str] = []
        now, then = current.memory_limit_bytes, wanted.memory_limit_bytes
        if now is not None and then is not None and (now == NO_LIMIT or then < now):
            usage = await self._cgroups.memory_usage_bytes(work.pod.uid, qos_class(work.pod.spec, work.pod.status))
            if then <= usage:
                found.append(f"attempting to set pod memory limit ({then}) below current usage ({usage})")
        for change in work.due.live:
            if change.resource == "memory" and change.lowers_limit:
                found += await self._too_much_used(work, change)
        if found:
            text = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
            raise ResizeFailed(f"cannot decrease memory limits: {text}")

    async def _too_much_used(self, work: Actuation, change: LiveChange) -> list[str]:
        assert change.container.resources is not None
        limit_bytes = quantity.value((change.container.resources.limits or {})["memory"])
        answer = await work.runtime.service.container_stats(cri.ContainerStatsRequest(container_id=change.container_id))
        usage = answer.stats.memory.usage_bytes.value
        if limit_bytes > usage:
            return []
        name = change.container.name
        return [f'attempting to set container "{name}" memory limit ({limit_bytes}) below current usage ({usage})']


def memory_steps(current: CgroupLimits, wanted: CgroupLimits) -> list[_Step]:
    if wanted.memory_limit_bytes is None or current.memory_limit_bytes in (None, wanted.memory_limit_bytes):
        return []
    grows = current.memory_limit_bytes != NO_LIMIT and wanted.memory_limit_bytes > (current.memory_limit_bytes or 0)
    return [_Step(CgroupLimits(memory_limit_bytes=wanted.memory_limit_bytes), grows)]


def cpu_steps(current: CgroupLimits, wanted: CgroupLimits) -> list[_Step]:
    """Limit, then request; taken back in the other order."""
    steps: list[_Step] = []
    if wanted.cpu_quota_us is not None and current.cpu_quota_us not in (None, wanted.cpu_quota_us):
        grows = current.cpu_quota_us != NO_LIMIT and (
            wanted.cpu_quota_us == NO_LIMIT or wanted.cpu_quota_us > (current.cpu_quota_us or 0)
        )
        steps.append(_Step(CgroupLimits(cpu_quota_us=wanted.cpu_quota_us, cpu_period_us=wanted.cpu_period_us), grows))
    if wanted.cpu_shares is not None and current.cpu_shares not in (None, wanted.cpu_shares):
        grows = wanted.cpu_shares > (current.cpu_shares or 0)
        steps.append(_Step(CgroupLimits(cpu_shares=wanted.cpu_shares), grows))
    return steps
