"""The machine that a hollow node claims to be: this one's kernel and system, other CPUs and memory, and no cgroups at all."""

import dataclasses
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry
from typing_extensions import override

from nodeagent.assembly.host import Host
from nodeagent.node.facts import Machine
from runtimes.linux.cgroups.contract import (
    CgroupError,
    CgroupLimits,
    Cgroups,
    CgroupStatistics,
    CgroupStats,
    CpuStats,
    HugePageStats,
    IOStats,
    MemoryStats,
    PidsStats,
)

_NAMES = uuid.UUID("5f0c7a0e-5d0f-4d5e-9f5c-3a1f4f6f2b10")


def hollow_host(name: str, real: Machine, *, cpus: int, memory_bytes: int, now: Callable[[], datetime]) -> Host:
    """The same name is the same machine again."""
    machine = dataclasses.replace(
        real,
        machine_id=uuid.uuid5(_NAMES, name).hex,
        system_uuid=str(uuid.uuid5(_NAMES, name)),
        cpus=cpus,
        memory_bytes=memory_bytes,
        swap_bytes=0,
        hugepages={},
    )
    return Host(machine=machine, cgroups=NoCgroups(), metrics=CollectorRegistry(), now=now)


class NoCgroups(Cgroups):
    """Every cgroup is there and has nothing in it: there is nothing to make, to limit, to count or to remove."""

    version = 2
    controllers: frozenset[str] = frozenset({"cpu", "memory", "pids"})
    huge_page_sizes: tuple[str, ...] = ()
    limits_swap = False

    @property
    @override
    def statistics(self) -> CgroupStatistics:
        return _NOTHING_COUNTED

    @override
    def directories(self, path: str) -> tuple[Path, ...]:
        return ()

    @override
    def exists(self, path: str) -> bool:
        return True

    @override
    def create(self, path: str) -> None:
        return

    @override
    def apply(self, path: str, limits: CgroupLimits) -> None:
        return

    @override
    def limits(self, path: str) -> CgroupLimits:
        return CgroupLimits()

    @override
    def stats(self, path: str) -> CgroupStats:
        raise CgroupError("a hollow node has no cgroups")

    @override
    def children(self, path: str) -> tuple[str, ...]:
        return ()

    @override
    def processes(self, path: str) -> frozenset[int]:
        return frozenset()

    @override
    def adopt(self, path: str, pid: int) -> None:
        return

    @override
    def kill(self, path: str) -> None:
        return

    @override
    def remove(self, path: str) -> bool:
        return True


class _NothingCounted(CgroupStatistics):
    @override
    def cpu(self, path: str, *, details: bool = True) -> CpuStats:
        return CpuStats()

    @override
    def memory(self, path: str, *, details: bool = True) -> MemoryStats:
        return MemoryStats()

    @override
    def io(self, path: str) -> IOStats:
        return IOStats()

    @override
    def pids(self, path: str, *, details: bool = True) -> PidsStats:
        return PidsStats()

    @override
    def huge_pages(self, path: str, size: str) -> HugePageStats:
        return HugePageStats()

    @override
    def oom_kills(self, path: str) -> int:
        return 0


_NOTHING_COUNTED = _NothingCounted()
