"""The node's own groups of processes, from their cgroups."""

import os
from pathlib import Path
from typing import Any, cast

import pytest

from nodeagent.stats import system_containers
from nodeagent.stats.system_containers import SystemContainerReader, agent_cgroup
from runtimes.linux.cgroups.contract import CgroupLimits, Cgroups, CpuStats, IOStats, MemoryStats, PidsStats


class Kernel:
    """One cgroup, in two hierarchies."""

    version = 1
    controllers = frozenset({"pids"})
    huge_page_sizes = ()

    def __init__(self, root: Path) -> None:
        self._root = root
        for number, name in enumerate(("cpu", "memory")):
            (root / name / "kubepods").mkdir(parents=True)
            os.utime(root / name / "kubepods", ns=(0, 7 + number))

    @property
    def statistics(self) -> "Kernel":
        return self

    def directories(self, path: str) -> tuple[Path, ...]:
        return tuple(self._root / name / path.lstrip("/") for name in ("cpu", "memory"))

    def cpu(self, path: str, *, details: bool = True) -> CpuStats:
        assert path == "/kubepods"
        return CpuStats(usage_ns=5)

    def memory(self, path: str, *, details: bool = True) -> MemoryStats:
        return MemoryStats(usage_bytes=9, working_set_bytes=8, swap_bytes=1)

    def pids(self, path: str, *, details: bool = True) -> PidsStats:
        return PidsStats(current=3)

    def processes(self, path: str) -> frozenset[int]:
        return frozenset({1})

    def limits(self, path: str) -> CgroupLimits:
        return CgroupLimits()

    def io(self, path: str) -> IOStats:
        return IOStats()


def test_those_that_have_a_cgroup(tmp_path: Path) -> None:
    """With their figures, from when the cgroup was made; one that is not there is left out, one without a name in a summary."""
    kernel = cast(Cgroups, Kernel(tmp_path))
    groups = SystemContainerReader(kernel, {"/kubepods": "pods", "/system/agent": "kubelet"}).read()
    (found,) = groups.usages
    assert groups.named == [found]
    assert (found.name, found.cgroup, found.started_ns) == ("pods", "/kubepods", 7)
    stats = found.stats
    assert (stats.cpu.usage_core_nano_seconds.value, stats.memory.usage_bytes.value) == (5, 9)
    assert stats.swap.swap_usage_bytes.value == 1
    (row,) = groups.rows
    told = {sample.name: (sample.label_values[1], sample.value.value) for sample in row.metrics}
    assert told["container_memory_usage_bytes"] == ("/kubepods", 9)
    assert not {"container_processes", "container_file_descriptors"} & told.keys()  # nobody goes through all of them
    assert SystemContainerReader(kernel, {"/kubepods": ""}).read().named == []


@pytest.mark.parametrize(
    ("version", "own", "expected"),
    [
        (2, {"": "/system.slice/agent"}, "/system.slice/agent"),
        (2, {"": "/"}, None),
        (1, {"cpu": "/agent", "memory": "/agent", "pids": "/"}, "/agent"),
        (1, {"cpu": "/", "memory": "/agent"}, None),
        (1, {"": "/agent"}, None),
    ],
)
def test_the_agents_own(monkeypatch: pytest.MonkeyPatch, version: int, own: Any, expected: str | None) -> None:
    """Only a cgroup that is the agent's in every resource tells what the agent uses."""
    monkeypatch.setattr(system_containers, "own_cgroups", lambda: own)
    assert agent_cgroup(version) == expected
