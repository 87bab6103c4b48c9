"""Changing a live container's limits."""

import asyncio
from dataclasses import replace
from typing import Any

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits
from runtimes.oci import records
from runtimes.oci.config import Kind
from runtimes.oci.core import Core
from runtimes.oci.entities import Container
from runtimes.oci.spec.resources import linux_resources, merge


async def update_resources(core: Core, container: Container, change: cri.LinuxContainerResources) -> None:
    """Apply what `change` says and remember the sum. Raises WrongState, InvalidArgument, Internal."""
    async with container.lock:
        if container.record.state not in ("created", "running") or container.record.create_error:
            raise errors.WrongState(f"container {container.id} is not running")
        wanted = linux_resources(change, core.cgroup_features)
        direct = CgroupLimits(
            unified=wanted.pop("unified", {}),
            hugetlb_bytes={limit["pageSize"]: limit["limit"] for limit in wanted.pop("hugepageLimits", [])},
        )
        if core.dialect.kind is Kind.RUNSC:
            direct = _with_cpu_and_memory(direct, wanted)  # runsc has no update; its processes are in ordinary cgroups
        elif wanted:
            await core.program.update(container.id, wanted)
        if direct != CgroupLimits():
            await asyncio.to_thread(_apply, core, container.record.cgroup, direct)
        container.resources = merge(container.resources, change)
        container.record.resources = records.raw(container.resources)
        core.save_container(container)


def _with_cpu_and_memory(direct: CgroupLimits, wanted: dict[str, Any]) -> CgroupLimits:
    cpu, memory = wanted.get("cpu", {}), wanted.get("memory", {})
    return replace(
        direct,
        cpu_shares=cpu.get("shares"),
        cpu_quota_us=cpu.get("quota"),
        cpu_period_us=cpu.get("period"),
        memory_limit_bytes=memory.get("limit"),
        memory_swap_limit_bytes=memory.get("swap"),
    )


def _apply(core: Core, cgroup: str, limits: CgroupLimits) -> None:
    try:
        core.cgroups.apply(cgroup, limits)
    except CgroupError as error:
        raise errors.InvalidArgument(error.strerror or str(error)) from error
