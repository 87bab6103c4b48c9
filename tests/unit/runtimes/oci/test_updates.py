"""New limits of a container: what the runtime takes, what its cgroup is given, and what is remembered."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from oci_core import oci_core

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.linux.cgroups.contract import CgroupError, CgroupLimits
from runtimes.oci import records
from runtimes.oci.entities import Container
from runtimes.oci.lifecycle import ContainerState
from runtimes.oci.records import ContainerRecord
from runtimes.oci.spec.resources import CgroupFeatures
from runtimes.oci.updates import update_resources


class World:
    """A container that runs with a limit of memory, in an engine that only notes what it is told."""

    def __init__(self, root: Path) -> None:
        self.log: list[Any] = []
        self.rest = CgroupLimits()
        self.refuse: Exception | None = None
        self.core = oci_core(
            root,
            traits=self,
            cgroups=SimpleNamespace(apply=self.apply),
            cgroup_features=CgroupFeatures(unified=True, swap=False, huge_pages=frozenset()),
        )
        resources = cri.LinuxContainerResources(memory_limit_in_bytes=64)
        config = cri.ContainerConfig(metadata=cri.ContainerMetadata(name="main"))
        record = ContainerRecord(
            id="c",
            sandbox_id="s",
            boot_id="b",
            created_at_ns=1,
            config=records.raw(config),
            resources=records.raw(resources),
            image_id="i",
            image_ref="i",
            cgroup="/c",
            state=ContainerState.RUNNING,
        )
        self.container = Container.restored(record)

    async def update(self, container_id: str, limits: Mapping[str, Any]) -> CgroupLimits:
        self.log.append(dict(limits))
        return self.rest

    def apply(self, path: str, limits: CgroupLimits) -> None:
        self.log.append((path, limits))
        if self.refuse is not None:
            raise self.refuse

    async def set(self, **fields: Any) -> None:
        await update_resources(self.core, self.container, cri.LinuxContainerResources(**fields))

    @property
    def remembered(self) -> list[cri.LinuxContainerResources]:
        """In memory, in the record, on the disk."""
        saved = [records.resources(record.resources) for record in self.core.container_records.saved]
        return [self.container.resources, records.resources(self.container.record.resources), *saved]


BEFORE = cri.LinuxContainerResources(memory_limit_in_bytes=64)


async def test_what_changes_is_added(tmp_path: Path) -> None:
    """The runtime is told the change alone; the sum is remembered, on the disk first. Nothing is left for the cgroup."""
    world = World(tmp_path)
    await world.set(cpu_shares=512)
    assert [list(entry) for entry in world.log] == [["cpu"]]
    assert world.remembered == [cri.LinuxContainerResources(memory_limit_in_bytes=64, cpu_shares=512)] * 3


async def test_what_no_update_takes(tmp_path: Path) -> None:
    """Is written to the cgroup: what the runtime leaves over, and files of cgroup v2."""
    world = World(tmp_path)
    world.rest = CgroupLimits(memory_limit_bytes=5)
    await world.set(unified={"memory.high": "3"})
    assert world.log[-1] == ("/c", CgroupLimits(memory_limit_bytes=5, unified={"memory.high": "3"}))


async def test_what_the_kernel_refuses(tmp_path: Path) -> None:
    """Is the caller's mistake, and not remembered."""
    world = World(tmp_path)
    world.refuse = CgroupError(22, "Invalid argument")
    with pytest.raises(errors.InvalidArgument, match="Invalid argument"):
        await world.set(unified={"memory.high": "3"})
    assert world.remembered == [BEFORE] * 2


async def test_a_full_disk(tmp_path: Path) -> None:
    """What cannot be written down is not in memory either: asked again, the same is done again."""
    world = World(tmp_path)
    world.core.container_records.full = True
    with pytest.raises(OSError, match="No space left"):
        await world.set(cpu_shares=512)
    assert world.remembered == [BEFORE] * 2


@pytest.mark.parametrize("state", [ContainerState.STARTING, ContainerState.EXITED])
async def test_what_does_not_run(tmp_path: Path, state: ContainerState) -> None:
    """Has no limits to change."""
    world = World(tmp_path)
    world.container.record = replace(world.container.record, state=state)
    with pytest.raises(errors.WrongState, match="container c is not running"):
        await world.set(cpu_shares=512)
    assert world.log == []
