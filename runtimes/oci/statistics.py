"""Statistics of containers and pods, read from their cgroups (v1 and v2), network namespaces and writable layers."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import Cgroups, IOStats, MemoryStats, Pressure
from runtimes.oci import bundles
from runtimes.oci.core import Core
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.namespaces import SandboxNamespaces

_LAYER_AGE_SECONDS = 10.0  # counting a layer's files costs; containerd's figure is as old


@dataclass(frozen=True, slots=True)
class _Layer:
    """How much a writable layer holds, with the volumes that the image declares, and when that was counted (monotonic)."""

    used_bytes: int
    inodes: int
    counted_at: float


class Statistics:
    """`usage_nano_cores` is the mean since the last time that the same object was asked for."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._cpu: dict[str, tuple[int, int]] = {}  # cgroup -> (timestamp ns, usage ns)
        self._layers: dict[str, _Layer] = {}

    async def of_containers(self, containers: Sequence[Container]) -> list[cri.ContainerStats]:
        return await asyncio.to_thread(lambda: [self._container(entry) for entry in containers])

    async def of_sandboxes(self, sandboxes: Sequence[Sandbox]) -> list[cri.PodSandboxStats]:
        chosen = [(sandbox, [entry for entry in sandbox.listed_containers if entry.running]) for sandbox in sandboxes]
        self.prune()
        return await asyncio.to_thread(lambda: [self._sandbox(sandbox, running) for sandbox, running in chosen])

    def prune(self) -> None:
        """Forget what is gone."""
        registry = self._core.registry
        self._layers = {key: layer for key, layer in self._layers.items() if key in registry.containers}
        known = {entry.record.cgroup for entry in registry.containers.values()}
        known |= {entry.config.linux.cgroup_parent for entry in registry.sandboxes.values()}
        self._cpu = {key: sample for key, sample in self._cpu.items() if key in known}

    def _container(self, container: Container) -> cri.ContainerStats:
        config, cgroup = container.config, container.record.cgroup
        stats = cri.ContainerStats(
            attributes=cri.ContainerAttributes(
                id=container.id, metadata=config.metadata, labels=config.labels, annotations=config.annotations
            ),
            writable_layer=self.writable_layer(container),
        )
        if container.running:
            self._fill_cpu(stats.cpu, cgroup)
            memory = self._core.cgroups.statistics.memory(cgroup)
            fill_memory(stats.memory, memory)
            fill_swap(stats.swap, memory)
            self._fill_io(stats.io, cgroup)
        return stats

    def _sandbox(self, sandbox: Sandbox, running: Sequence[Container]) -> cri.PodSandboxStats:
        config, cgroup, kernel = sandbox.config, sandbox.config.linux.cgroup_parent, self._core.cgroups.statistics
        stats = cri.PodSandboxStats(
            attributes=cri.PodSandboxAttributes(
                id=sandbox.id, metadata=config.metadata, labels=config.labels, annotations=config.annotations
            )
        )
        self._fill_cpu(stats.linux.cpu, cgroup)
        fill_memory(stats.linux.memory, kernel.memory(cgroup))
        self._fill_io(stats.linux.io, cgroup)
        stats.linux.process.timestamp = time.time_ns()
        stats.linux.process.process_count.value = process_count(self._core.cgroups, cgroup)
        if sandbox.ready and sandbox.namespaces.net is not None:
            stats.linux.network.CopyFrom(_network(sandbox.namespaces))
        stats.linux.containers.extend(self._container(entry) for entry in running)
        return stats

    def _fill_cpu(self, cpu: cri.CpuUsage, cgroup: str) -> None:
        found = self._core.cgroups.statistics.cpu(cgroup)
        if found.usage_ns is None:
            return
        now = time.time_ns()
        cpu.timestamp = now
        cpu.usage_core_nano_seconds.value = found.usage_ns
        before = self._cpu.get(cgroup)
        if before is not None and now > before[0]:
            cpu.usage_nano_cores.value = max(0, (found.usage_ns - before[1]) * 1_000_000_000 // (now - before[0]))
        self._cpu[cgroup] = (now, found.usage_ns)
        _fill_pressure(cpu.psi, found.pressure)

    def _fill_io(self, io: cri.IoUsage, cgroup: str) -> None:
        if self._core.cgroups.version == 2:  # the CRI has a place for pressure only, and v1 does not know it
            fill_io(io, self._core.cgroups.statistics.io(cgroup))

    def writable_layer(self, container: Container) -> cri.FilesystemUsage:
        layer = self._layers.get(container.id)
        if layer is None or time.monotonic() - layer.counted_at > _LAYER_AGE_SECONDS:
            written = bundles.rootfs_directory(self._core, container.id) / "upper"
            counts = [_count(folder) for folder in (written, bundles.declared_directory(self._core, container.id))]
            used_bytes, inodes = (sum(numbers) for numbers in zip(*counts, strict=True))
            layer = self._layers[container.id] = _Layer(used_bytes, inodes, time.monotonic())
        usage = cri.FilesystemUsage(timestamp=time.time_ns())
        usage.fs_id.mountpoint = str(self._core.paths.containers)
        usage.used_bytes.value = layer.used_bytes
        usage.inodes_used.value = layer.inodes
        return usage


def _count(directory: Path) -> tuple[int, int]:
    """(bytes on the disk, inodes) of a tree; files that vanish meanwhile do not count."""
    used_bytes, seen = 0, set()
    for folder, _, names in os.walk(directory):
        for path in (folder, *(f"{folder}/{name}" for name in names)):
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if found.st_ino not in seen:
                seen.add(found.st_ino)
                used_bytes += found.st_blocks * 512
    return used_bytes, len(seen)


def _network(namespaces: SandboxNamespaces) -> cri.NetworkUsage:
    """eth0 is the default interface."""
    usage = cri.NetworkUsage(timestamp=time.time_ns())
    for name, fields in interfaces(namespaces):
        found = cri.NetworkInterfaceUsage(name=name)
        found.rx_bytes.value, found.rx_errors.value = fields[0], fields[2]
        found.tx_bytes.value, found.tx_errors.value = fields[8], fields[10]
        if found.name == "eth0":
            usage.default_interface.CopyFrom(found)
        else:
            usage.interfaces.append(found)
    return usage


def interfaces(namespaces: SandboxNamespaces) -> list[tuple[str, list[int]]]:
    """proc(5) net/dev of the pod's namespace, without the loopback: (name, counters)."""
    lines: list[str] = []
    namespaces.inside_net(lambda: lines.extend(Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]))
    found = []
    for line in lines:
        name, _, numbers = line.partition(":")
        if name.strip() != "lo":
            found.append((name.strip(), list(map(int, numbers.split()))))
    return found


def process_count(cgroups: Cgroups, cgroup: str) -> int:
    """The pids controller counts threads; without it there are the processes."""
    if "pids" in cgroups.controllers:
        return cgroups.statistics.pids(cgroup).current or 0
    return len(cgroups.processes(cgroup))


def fill_memory(memory: cri.MemoryUsage, found: MemoryStats) -> None:
    """What is not counted, or is gone, is left out."""
    if found.usage_bytes is None or found.working_set_bytes is None:
        return
    memory.timestamp = time.time_ns()
    memory.usage_bytes.value = found.usage_bytes
    memory.working_set_bytes.value = found.working_set_bytes
    memory.rss_bytes.value = found.rss_bytes or 0
    memory.page_faults.value = found.page_faults or 0
    memory.major_page_faults.value = found.major_page_faults or 0
    if found.limit_bytes is not None:
        memory.available_bytes.value = max(0, found.limit_bytes - found.working_set_bytes)
    _fill_pressure(memory.psi, found.pressure)


def fill_swap(swap: cri.SwapUsage, found: MemoryStats) -> None:
    if found.swap_bytes is None:
        return
    swap.timestamp = time.time_ns()
    swap.swap_usage_bytes.value = found.swap_bytes
    if found.swap_limit_bytes is not None:
        swap.swap_available_bytes.value = max(0, found.swap_limit_bytes - found.swap_bytes)


def fill_io(io: cri.IoUsage, found: IOStats) -> None:
    io.timestamp = time.time_ns()
    _fill_pressure(io.psi, found.pressure)


def _fill_pressure(psi: cri.PsiStats, found: Pressure | None) -> None:
    if found is None:
        return
    for data, stall in ((psi.Some, found.some), (psi.Full, found.full)):
        if stall is not None:
            data.Avg10, data.Avg60, data.Avg300 = stall.average_10s, stall.average_60s, stall.average_300s
            data.Total = stall.total_us
