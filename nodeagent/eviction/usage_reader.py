"""Measures what pods use, for who evicts them. Source: docs/facts/node-resources.md 5.5."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from nodeagent.eviction.usage import NOTHING, Amounts, ContainerUsage, PodUsage
from nodeagent.podspec.pod import AgentPod
from nodeagent.stats.pods import PodsSnapshot, PodStats
from nodeagent.stats.volumes import PodVolumeStats, VolumeReader
from nodeagent.volumes.contract import VolumeError, VolumeUsage
from nodeagent.volumes.usage import measure
from runtimes.linux.tasks import run_blocking


class PodStatistics(Protocol):
    """Implemented by `stats.provider.Statistics`."""

    async def pods(self, *, fresh: bool = False) -> PodsSnapshot: ...


class LogFolders:
    """What the logs of a pod's containers take, rotated ones too. `folder_of`: a pod's folder of logs, None: it is not known."""

    def __init__(self, folder_of: Callable[[str], Path | None]) -> None:
        self._folder_of = folder_of

    async def usage(self, uid: str) -> Mapping[str, VolumeUsage]:
        """By container."""
        folder = self._folder_of(uid)
        return await run_blocking(_measure_each, folder) if folder is not None else {}


class UsageReader:
    """`volumes`, `logs`: measured by walks, for which nobody waits long: what is not known yet counts as nothing.

    `hosts_file`: where a pod's is, by its uid.
    """

    def __init__(
        self,
        statistics: PodStatistics,
        volumes: VolumeReader,
        logs: VolumeReader,
        hosts_file: Callable[[str], Path],
    ) -> None:
        self._statistics = statistics
        self._hosts_file = hosts_file
        self._volumes = volumes
        self._logs = logs

    async def read(self, pods: Sequence[AgentPod], *, disks: bool) -> list[PodUsage]:
        """`disks`: volumes and logs, too."""
        known = {stats.uid: stats for stats in (await self._statistics.pods(fresh=True)).pods}
        uids = [pod.uid for pod in pods]
        volumes, logs = (await self._volumes.read(uids), await self._logs.read(uids)) if disks else ({}, {})
        files = [self._hosts_file(uid) for uid in uids] if disks else []
        hosts = dict(zip(uids, await run_blocking(_sizes, files), strict=False))
        found = (
            _usage(pod, known.get(pod.uid), _amounts(volumes.get(pod.uid)), _amounts(logs.get(pod.uid))) for pod in pods
        )
        return [replace(usage, hosts=hosts.get(usage.pod.uid, NOTHING)) for usage in found]


def _usage(
    pod: AgentPod, stats: PodStats | None, volumes: Mapping[str, Amounts], logs: Mapping[str, Amounts]
) -> PodUsage:
    containers = {name: ContainerUsage(logs=amounts) for name, amounts in logs.items()}
    if stats is None:
        return PodUsage(pod=pod, known=False, containers=containers, volumes=volumes)
    for container in stats.containers:
        found = container.stats
        memory = found.memory.working_set_bytes
        containers[container.name] = ContainerUsage(
            memory_bytes=memory.value if found.memory.HasField("working_set_bytes") else None,
            layer=Amounts(found.writable_layer.used_bytes.value, found.writable_layer.inodes_used.value),
            logs=logs.get(container.name, NOTHING),
        )
    linux = stats.stats.linux
    return PodUsage(
        pod=pod,
        memory_bytes=linux.memory.working_set_bytes.value,
        processes=linux.process.process_count.value,
        containers=containers,
        volumes=volumes,
    )


def _amounts(stats: PodVolumeStats | None) -> dict[str, Amounts]:
    if stats is None:
        return {}
    return {name: Amounts(usage.used_bytes or 0, usage.inodes_used or 0) for name, usage in stats.volumes.items()}


def _sizes(files: Sequence[Path]) -> list[Amounts]:
    """Blocks."""
    found = []
    for file in files:
        try:
            status = file.lstat()
        except OSError:
            found.append(NOTHING)
        else:
            found.append(Amounts(status.st_blocks * 512, 1))
    return found


def _measure_each(folder: Path) -> dict[str, VolumeUsage]:
    """Blocks."""
    found = {}
    try:
        names = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()]
    except OSError:
        return {}
    for each in names:
        try:
            found[each.name] = measure(each)
        except VolumeError:
            continue  # it went meanwhile
    return found
