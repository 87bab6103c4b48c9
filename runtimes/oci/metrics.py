"""The CRI's metrics of pods and containers, from their cgroups (cgroup_metrics.py), file systems and network namespaces.

What cannot be known of something is left out, rather than reported as 0. gVisor's containers share the cgroup of their sandbox:
of one of them only runsc knows anything, and of the pod the kernel does.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes.cgroup_metrics import CgroupMetrics, OpenDescriptors, device_name, fill_limits, fill_ulimits, limits_said
from runtimes.kube.labels import LABEL_CONTAINER_NAME
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.figures import read_figures
from runtimes.metrics import FAMILIES, Row, container_values, descriptors, pod_values
from runtimes.oci.core import Core
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.statistics import Statistics, interfaces
from runtimes.oci.traits.contract import Usage

_NANO = 1_000_000_000
# of proc(5) net/dev, in the order of its columns
_NETWORK = {
    "container_network_receive_bytes_total": 0,
    "container_network_receive_packets_total": 1,
    "container_network_receive_errors_total": 2,
    "container_network_receive_packets_dropped_total": 3,
    "container_network_transmit_bytes_total": 8,
    "container_network_transmit_packets_total": 9,
    "container_network_transmit_errors_total": 10,
    "container_network_transmit_packets_dropped_total": 11,
}

_Usages = Mapping[str, Usage | None] | None
_Chosen = Sequence[tuple[Sandbox, list[Container]]]  # with the containers that are told of


class Metrics:
    def __init__(self, core: Core, statistics: Statistics) -> None:
        self._core = core
        self._statistics = statistics

    async def descriptors(self) -> list[cri.MetricDescriptor]:
        """Of all metrics that there may be on this host."""
        missing = await read_figures(_missing, self._core.cgroups)
        return descriptors(name for name in FAMILIES if name not in missing)

    async def of_pods(self) -> list[cri.PodSandboxMetrics]:
        """Of every pod that is up, with those of its containers that run or have run."""
        chosen = [
            (sandbox, sandbox.listed_containers) for sandbox in self._core.registry.sandboxes.values() if sandbox.ready
        ]
        self._statistics.prune()
        running = [entry.id for _, found in chosen for entry in found if entry.running]
        usages = await self._core.traits.usages(running)
        return await read_figures(self._of_pods, chosen, usages)

    def _of_pods(self, chosen: _Chosen, usages: _Usages) -> list[cri.PodSandboxMetrics]:
        page = _Page(self._core, usages)
        return [self._pod(page, sandbox, found) for sandbox, found in chosen]

    def _pod(self, page: "_Page", sandbox: Sandbox, containers: list[Container]) -> cri.PodSandboxMetrics:
        row = Row(pod_values(sandbox.id, sandbox.config.metadata), time.time_ns())
        page.fill(row, sandbox.config.linux.cgroup_parent)
        row.add("container_oom_events_total", self._oom_events(sandbox))
        row.add("container_start_time_seconds", sandbox.record.created_at_ns // _NANO)
        row.add("container_last_seen", int(time.time()))
        for name, counters in interfaces(sandbox) or ():
            for family, column in _NETWORK.items():
                row.add(family, counters[column], name)
        found = cri.PodSandboxMetrics(pod_sandbox_id=sandbox.id, metrics=row.metrics)
        for container in containers:
            if container.record.state.has_run:
                metrics = self._container(page, sandbox, container)
                found.container_metrics.add(container_id=container.id, metrics=metrics)
        return found

    def _oom_events(self, sandbox: Sandbox) -> int:
        """cgroup v1 counts in each cgroup alone, and forgets with it; v2 counts what is below along."""
        cgroups = self._core.cgroups
        total = cgroups.statistics.oom_kills(sandbox.config.linux.cgroup_parent)
        return (
            total
            if cgroups.version == 2
            else total + sum(self._oom_of(entry) for entry in tuple(sandbox.containers.values()))
        )

    def _oom_of(self, container: Container) -> int:
        return max(container.record.oom_kills, self._core.cgroups.statistics.oom_kills(container.record.cgroup))

    def _container(self, page: "_Page", sandbox: Sandbox, container: Container) -> list[cri.Metric]:
        record, config = container.record, container.config
        name = config.labels.get(LABEL_CONTAINER_NAME) or config.metadata.name
        image = config.image.user_specified_image or config.image.image
        row = Row(container_values(container.id, name, image, sandbox.config.metadata), time.time_ns())
        row.add("container_start_time_seconds", record.started_at_ns // _NANO)
        row.add("container_oom_events_total", self._oom_of(container))
        if not container.running:
            return row.metrics
        row.add("container_last_seen", int(time.time()))
        page.fill_layer(row, self._statistics.writable_layer(container))
        if page.usages is None:
            page.fill(row, record.cgroup)
            if record.init is not None:
                fill_ulimits(row, record.init.pid)
        else:
            self._fill_from_runtime(row, container, page.usages.get(container.id))
        return row.metrics

    def _fill_from_runtime(self, row: Row, container: Container, usage: Usage | None) -> None:
        core = self._core
        if usage is not None:
            row.add("container_cpu_usage_seconds_total", usage.cpu_ns // _NANO, "total")
            row.add("container_processes", usage.processes)
        for limit in core.config.rlimits:
            row.add("container_ulimits_soft", core.host.clamp_rlimit(limit).soft, _ulimit(limit.name))
        fill_limits(row, limits_said(container.resources))


class _Page:
    """What is the same for all rows of one answer, looked up once. Blocks."""

    def __init__(self, core: Core, usages: _Usages) -> None:
        self.usages = usages
        self._cgroups = core.cgroups
        self._descriptors = OpenDescriptors()
        self._home = core.paths.containers.stat().st_dev
        self._layers = os.statvfs(core.paths.containers)

    def fill(self, row: Row, cgroup: str) -> None:
        CgroupMetrics(self._cgroups, cgroup, self._home, self._descriptors).fill(row)

    def fill_layer(self, row: Row, used: cri.FilesystemUsage) -> None:
        system, device = self._layers, device_name(self._home)
        row.add("container_fs_usage_bytes", used.used_bytes.value, device)
        row.add("container_fs_limit_bytes", system.f_blocks * system.f_frsize, device)
        row.add("container_fs_inodes_total", system.f_files, device)
        row.add("container_fs_inodes_free", system.f_ffree, device)


def _ulimit(name: str) -> str:
    """NOFILE as /proc calls it."""
    return {"NOFILE": "max_open_files", "NPROC": "max_processes"}.get(name, f"max_{name.lower()}")


def _missing(cgroups: Cgroups) -> set[str]:
    """Families that this host's kernel has nothing for."""
    has: dict[str, Callable[[], bool]] = {
        "container_hugetlb_usage_bytes": lambda: bool(cgroups.huge_page_sizes),
        "container_hugetlb_max_usage_bytes": lambda: bool(cgroups.huge_page_sizes) and cgroups.version == 1,
        **{
            name: lambda: cgroups.version == 2 and Path("/proc/pressure").exists()
            for name in FAMILIES
            if name.startswith("container_pressure_")
        },
    }
    return {name for name, check in has.items() if not check()}
