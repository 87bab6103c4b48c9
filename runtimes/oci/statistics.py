"""Statistics of containers and pods, read from their cgroups (v1 and v2), network namespaces and writable layers."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes.linux.figures import read_figures
from runtimes.oci import bundles
from runtimes.oci.core import Core
from runtimes.oci.entities import Container, Sandbox
from runtimes.usage import CgroupUsage, net_dev, network_usage

_LAYER_AGE_SECONDS = 10.0  # counting a layer's files costs; containerd's figure is as old


@dataclass(frozen=True, slots=True)
class _Layer:
    """How much a writable layer holds, with the volumes that the image declares, and when that was counted (monotonic)."""

    used_bytes: int
    inodes: int
    counted_at: float


class Statistics:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._usage = CgroupUsage(core.cgroups)
        self._layers: dict[str, _Layer] = {}

    async def of_containers(self, containers: Sequence[Container]) -> list[cri.ContainerStats]:
        return await read_figures(lambda: [self._container(entry) for entry in containers])

    async def of_sandboxes(self, sandboxes: Sequence[Sandbox]) -> list[cri.PodSandboxStats]:
        chosen = [(sandbox, [entry for entry in sandbox.listed_containers if entry.running]) for sandbox in sandboxes]
        self.prune()
        return await read_figures(lambda: [self._sandbox(sandbox, running) for sandbox, running in chosen])

    def prune(self) -> None:
        """Forget what is gone."""
        registry = self._core.registry
        self._layers = {key: layer for key, layer in self._layers.items() if key in registry.containers}
        known = {entry.record.cgroup for entry in registry.containers.values()}
        known |= {entry.config.linux.cgroup_parent for entry in registry.sandboxes.values()}
        self._usage.keep(known)

    def _container(self, container: Container) -> cri.ContainerStats:
        config, cgroup = container.config, container.record.cgroup
        stats = cri.ContainerStats(
            attributes=cri.ContainerAttributes(
                id=container.id, metadata=config.metadata, labels=config.labels, annotations=config.annotations
            ),
            writable_layer=self.writable_layer(container),
        )
        if container.running:
            self._usage.fill_container(stats, cgroup)
        return stats

    def _sandbox(self, sandbox: Sandbox, running: Sequence[Container]) -> cri.PodSandboxStats:
        config, cgroup = sandbox.config, sandbox.config.linux.cgroup_parent
        stats = cri.PodSandboxStats(
            attributes=cri.PodSandboxAttributes(
                id=sandbox.id, metadata=config.metadata, labels=config.labels, annotations=config.annotations
            )
        )
        self._usage.fill_pod(stats.linux, cgroup)
        if sandbox.ready and (found := interfaces(sandbox)) is not None:
            stats.linux.network.CopyFrom(network_usage(found))
        stats.linux.containers.extend(self._container(entry) for entry in running)
        return stats

    def writable_layer(self, container: Container) -> cri.FilesystemUsage:
        layer = self._layers.get(container.id)
        if layer is None or time.monotonic() - layer.counted_at > _LAYER_AGE_SECONDS:
            written = bundles.rootfs_directory(self._core, container.id) / "upper"
            counts = [_count(folder) for folder in (written, bundles.declared_directory(self._core, container.id))]
            used_bytes, inodes = (sum(numbers) for numbers in zip(*counts, strict=True))
            layer = self._layers[container.id] = _Layer(used_bytes, inodes, time.monotonic())
        found = cri.FilesystemUsage(timestamp=time.time_ns())
        found.fs_id.mountpoint = str(self._core.paths.containers)
        found.used_bytes.value = layer.used_bytes
        found.inodes_used.value = layer.inodes
        return found


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


def interfaces(sandbox: Sandbox) -> list[tuple[str, list[int]]] | None:
    """Of the pod's network namespace, without the loopback: (name, figures). None: it is the host's, or has gone. Blocks."""
    pinned = sandbox.namespaces.net
    if pinned is None:
        return None
    try:
        namespace = pinned.stat().st_ino
        for container in tuple(sandbox.containers.values()):
            if container.running and (text := _seen_by(container, namespace)) is not None:
                return net_dev(text)
        texts: list[str] = []
        sandbox.namespaces.inside_net(lambda: texts.append(Path("/proc/thread-self/net/dev").read_text()))
    except OSError:
        return None
    return net_dev(texts[0])


def _seen_by(container: Container, namespace: int) -> str | None:
    """What a process in the namespace sees, without a thread that enters it; None: it has ended, or is in another one."""
    if container.record.init is None:
        return None
    process = f"/proc/{container.record.init.pid}"
    try:
        # texts and no paths: path objects cost more than the kernel does, and every pod is asked
        if os.stat(f"{process}/ns/net").st_ino != namespace:  # noqa: PTH116
            return None
        with open(f"{process}/net/dev") as file:
            return file.read()
    except OSError:
        return None
