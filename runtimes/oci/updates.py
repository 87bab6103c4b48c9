"""Changing a live container's limits."""

import asyncio
import logging
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci import records
from runtimes.oci.config import Kind
from runtimes.oci.core import Core
from runtimes.oci.entities import Container
from runtimes.oci.spec.resources import linux_resources, merge

log = logging.getLogger(__name__)


async def update_resources(core: Core, container: Container, change: cri.LinuxContainerResources) -> None:
    """Apply what `change` says and remember the sum. Raises WrongState, InvalidArgument, Internal."""
    async with container.lock:
        if container.record.state not in ("created", "running") or container.record.create_error:
            raise errors.WrongState(f"container {container.id} is not running")
        wanted = linux_resources(change, core.cgroup_features)
        direct = {**wanted.pop("unified", {}), **_huge_pages(core, wanted.pop("hugepageLimits", []))}
        if core.dialect.kind is Kind.RUNSC:
            direct |= _cgroup_files(core, change)  # runsc has no update; its processes are in ordinary cgroups
        elif wanted:
            await core.program.update(container.id, wanted)
        if direct:
            await asyncio.to_thread(_write, core, container.record.cgroup, direct)
        container.resources = merge(container.resources, change)
        container.record.resources = records.raw(container.resources)
        core.save_container(container)


def _huge_pages(core: Core, limits: list[dict[str, object]]) -> dict[str, str]:
    suffix = "max" if core.cgroup_features.unified else "limit_in_bytes"
    return {f"hugetlb.{limit['pageSize']}.{suffix}": str(limit["limit"]) for limit in limits}


def _cgroup_files(core: Core, change: cri.LinuxContainerResources) -> dict[str, str]:
    """CPU and memory as cgroup files, in the order in which the kernel takes them."""
    files: dict[str, str] = {}
    if core.cgroup_features.unified:
        if change.cpu_shares:
            files["cpu.weight"] = str(1 + (min(max(change.cpu_shares, 2), 262144) - 2) * 9999 // 262142)
        if change.cpu_quota:
            quota = str(change.cpu_quota) if change.cpu_quota > 0 else "max"
            files["cpu.max"] = f"{quota} {change.cpu_period or 100000}"
        if change.memory_limit_in_bytes:
            files["memory.max"] = str(change.memory_limit_in_bytes)
        return files
    if change.cpu_shares:
        files["cpu.shares"] = str(change.cpu_shares)
    if change.cpu_period:
        files["cpu.cfs_period_us"] = str(change.cpu_period)
    if change.cpu_quota:
        files["cpu.cfs_quota_us"] = str(change.cpu_quota)
    if change.memory_limit_in_bytes:
        files["memory.limit_in_bytes"] = str(change.memory_limit_in_bytes)
    return files


def _write(core: Core, cgroup: str, files: dict[str, str]) -> None:
    for name, value in files.items():
        controller = name.partition(".")[0]
        try:
            path = core.cgroups.directory(controller, cgroup) / Path(name).name
            if name == "memory.limit_in_bytes":
                _write_memory_limit(path, int(value))
            else:
                path.write_text(value)
        except KeyError:
            log.debug("no %s controller: %s is not set", controller, name)
        except OSError as error:
            raise errors.InvalidArgument(f"cannot set {name} of {cgroup} to {value!r}: {error.strerror}") from error


def _write_memory_limit(path: Path, limit_bytes: int) -> None:
    """cgroup v1: memory with swap may never be less than memory alone, so what follows the limit goes ahead of one that grows."""
    with_swap = path.with_name("memory.memsw.limit_in_bytes")
    before = int(path.read_text())
    follows = with_swap.exists() and int(with_swap.read_text()) == before
    files = [path, with_swap] if follows else [path]
    for file in reversed(files) if limit_bytes > before else files:
        file.write_text(str(limit_bytes))
