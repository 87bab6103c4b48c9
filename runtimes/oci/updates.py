"""Changing a live container's limits."""

import asyncio
import dataclasses

from msgspec.structs import replace

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits
from runtimes.oci import records
from runtimes.oci.core import Core
from runtimes.oci.entities import Container
from runtimes.oci.spec.resources import linux_resources, merge

_BY_THE_RUNTIME = frozenset({"cpu", "memory"})  # the rest no `update` takes


async def update_resources(core: Core, container: Container, change: cri.LinuxContainerResources) -> None:
    """Apply what `change` says and remember the sum. Raises WrongState, InvalidArgument, Internal."""
    async with container.lock:
        if not container.can_update:
            raise errors.WrongState(f"container {container.id} is not running")
        wanted = linux_resources(change, core.cgroup_features)
        direct = dataclasses.replace(
            await core.traits.update(container.id, {key: wanted[key] for key in wanted.keys() & _BY_THE_RUNTIME}),
            unified=wanted.get("unified", {}),
            hugetlb_bytes={limit["pageSize"]: limit["limit"] for limit in wanted.get("hugepageLimits", [])},
        )
        if direct != CgroupLimits():
            await asyncio.to_thread(_apply, core, container.record.cgroup, direct)
        resources = merge(container.resources, change)
        core.update_container(container, lambda record: replace(record, resources=records.raw(resources)))
        container.resources = resources


def _apply(core: Core, cgroup: str, limits: CgroupLimits) -> None:
    try:
        core.cgroups.apply(cgroup, limits)
    except CgroupError as error:
        raise errors.InvalidArgument(error.strerror or str(error)) from error
