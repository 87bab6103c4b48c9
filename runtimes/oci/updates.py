"""Changing a live container's limits."""

import asyncio
import logging
from pathlib import Path

from msgspec.structs import replace

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci import records
from runtimes.oci.core import Core
from runtimes.oci.entities import Container
from runtimes.oci.spec.resources import linux_resources, merge

log = logging.getLogger(__name__)


async def update_resources(core: Core, container: Container, change: cri.LinuxContainerResources) -> None:
    """Apply what `change` says and remember the sum. Raises WrongState, InvalidArgument, Internal."""
    async with container.lock:
        if not container.can_update:
            raise errors.WrongState(f"container {container.id} is not running")
        wanted = linux_resources(change, core.cgroup_features)
        direct = {**wanted.pop("unified", {}), **_huge_pages(core, wanted.pop("hugepageLimits", []))}
        direct |= await core.traits.update(container.id, wanted, change)
        if direct:
            await asyncio.to_thread(_write, core, container.record.cgroup, direct)
        resources = merge(container.resources, change)
        core.update_container(container, lambda record: replace(record, resources=records.raw(resources)))
        container.resources = resources


def _huge_pages(core: Core, limits: list[dict[str, object]]) -> dict[str, str]:
    suffix = "max" if core.cgroup_features.unified else "limit_in_bytes"
    return {f"hugetlb.{limit['pageSize']}.{suffix}": str(limit["limit"]) for limit in limits}


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
