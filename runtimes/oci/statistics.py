"""Figures of containers and pods, read from their cgroups (v1 and v2), network namespaces and writable layers."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes.oci import bundles
from runtimes.oci.cgroups import CgroupTree
from runtimes.oci.core import Core
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.namespaces import SandboxNamespaces

_LAYER_AGE_SECONDS = 10.0  # counting a layer's files costs; containerd's figure is as old
UNLIMITED_BYTES = 1 << 62


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
            reader = CgroupReader(self._core.cgroups, cgroup)
            self._fill_cpu(stats.cpu, reader)
            reader.fill_memory(stats.memory)
            reader.fill_swap(stats.swap)
            reader.fill_io(stats.io)
        return stats

    def _sandbox(self, sandbox: Sandbox, running: Sequence[Container]) -> cri.PodSandboxStats:
        config = sandbox.config
        stats = cri.PodSandboxStats(
            attributes=cri.PodSandboxAttributes(
                id=sandbox.id, metadata=config.metadata, labels=config.labels, annotations=config.annotations
            )
        )
        reader = CgroupReader(self._core.cgroups, config.linux.cgroup_parent)
        self._fill_cpu(stats.linux.cpu, reader)
        reader.fill_memory(stats.linux.memory)
        reader.fill_io(stats.linux.io)
        stats.linux.process.timestamp = time.time_ns()
        stats.linux.process.process_count.value = reader.process_count()
        if sandbox.ready and sandbox.namespaces.net is not None:
            stats.linux.network.CopyFrom(_network(sandbox.namespaces))
        stats.linux.containers.extend(self._container(entry) for entry in running)
        return stats

    def _fill_cpu(self, cpu: cri.CpuUsage, reader: "CgroupReader") -> None:
        usage_ns = reader.cpu_usage_ns()
        if usage_ns is None:
            return
        now = time.time_ns()
        cpu.timestamp = now
        cpu.usage_core_nano_seconds.value = usage_ns
        before = self._cpu.get(reader.cgroup)
        if before is not None and now > before[0]:
            cpu.usage_nano_cores.value = max(0, (usage_ns - before[1]) * 1_000_000_000 // (now - before[0]))
        self._cpu[reader.cgroup] = (now, usage_ns)
        reader.fill_pressure(cpu.psi, "cpu")

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
    """proc(5) net/dev of the pod's namespace, without the loopback: (name, figures)."""
    lines: list[str] = []
    namespaces.inside_net(lambda: lines.extend(Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]))
    found = []
    for line in lines:
        name, _, numbers = line.partition(":")
        if name.strip() != "lo":
            found.append((name.strip(), list(map(int, numbers.split()))))
    return found


class CgroupReader:
    """The files of one cgroup. What does not exist, or is gone, is left out."""

    def __init__(self, tree: CgroupTree, cgroup: str) -> None:
        self._tree = tree
        self.cgroup = cgroup

    def text(self, controller: str, name: str) -> str | None:
        try:
            return (self._tree.directory(controller, self.cgroup) / name).read_text()
        except (OSError, KeyError):
            return None

    def number(self, controller: str, name: str) -> int | None:
        """UNLIMITED_BYTES for "max"."""
        text = self.text(controller, name)
        if text is None:
            return None
        return UNLIMITED_BYTES if text.strip() == "max" else int(text)

    def table(self, controller: str, name: str) -> dict[str, int]:
        rows = (line.split() for line in (self.text(controller, name) or "").splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) == 2}

    def cpu_usage_ns(self) -> int | None:
        if self._tree.unified:
            usage = self.table("cpu", "cpu.stat").get("usage_usec")
            return None if usage is None else usage * 1000
        return self.number("cpuacct", "cpuacct.usage")

    def process_count(self) -> int:
        if self._tree.unified or "pids" in self._tree.roots:
            return self.number("pids", "pids.current") or 0
        return len(self._tree.processes(self.cgroup))

    def fill_memory(self, memory: cri.MemoryUsage) -> None:
        unified = self._tree.unified
        usage = self.number("memory", "memory.current" if unified else "memory.usage_in_bytes")
        if usage is None:
            return
        table = self.table("memory", "memory.stat")
        prefix = "" if unified else "total_"  # v1 sums the cgroups below only under these names
        working_set = max(0, usage - table.get(f"{prefix}inactive_file", 0))
        memory.timestamp = time.time_ns()
        memory.usage_bytes.value = usage
        memory.working_set_bytes.value = working_set
        memory.rss_bytes.value = table.get("anon" if unified else "total_rss", 0)
        memory.page_faults.value = table.get(f"{prefix}pgfault", 0)
        memory.major_page_faults.value = table.get(f"{prefix}pgmajfault", 0)
        limit = self.number("memory", "memory.max" if unified else "memory.limit_in_bytes")
        if limit is not None and limit < UNLIMITED_BYTES:
            memory.available_bytes.value = max(0, limit - working_set)
        self.fill_pressure(memory.psi, "memory")

    def fill_swap(self, swap: cri.SwapUsage) -> None:
        if self._tree.unified:
            used, limit = self.number("memory", "memory.swap.current"), self.number("memory", "memory.swap.max")
        else:
            usage, both = (
                self.number("memory", name) for name in ("memory.usage_in_bytes", "memory.memsw.usage_in_bytes")
            )
            used = None if usage is None or both is None else max(0, both - usage)
            limit = None
        if used is not None:
            swap.timestamp = time.time_ns()
            swap.swap_usage_bytes.value = used
            if limit is not None and limit < UNLIMITED_BYTES:
                swap.swap_available_bytes.value = max(0, limit - used)

    def fill_io(self, io: cri.IoUsage) -> None:
        if self._tree.unified:
            io.timestamp = time.time_ns()
            self.fill_pressure(io.psi, "io")

    def fill_pressure(self, psi: cri.PsiStats, resource: str) -> None:
        """Pressure stall information exists per cgroup on v2 only."""
        text = self.text(resource, f"{resource}.pressure") if self._tree.unified else None
        for line in (text or "").splitlines():
            kind, *pairs = line.split()
            values = dict(pair.split("=") for pair in pairs)
            data = psi.Some if kind == "some" else psi.Full
            data.Avg10, data.Avg60, data.Avg300 = (float(values[name]) for name in ("avg10", "avg60", "avg300"))
            data.Total = int(values["total"])
