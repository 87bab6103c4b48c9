"""Measures what pods use, for who evicts them. Source: docs/facts/node-resources.md 5.5."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from nodeagent.eviction.usage import ContainerUsage, PodUsage
from nodeagent.podspec.pod import AgentPod
from nodeagent.stats.disk_usage import NOTHING, DiskUsage, of_layer, of_volume
from nodeagent.stats.pod_files import PodFiles, PodFilesReader
from nodeagent.stats.pods import PodsSnapshot, PodStats
from nodeagent.stats.volumes import PodVolumeStats, VolumeReader, is_local
from nodeagent.volumes.contract import VolumeSource, VolumeUsage
from runtimes.linux.tasks import run_blocking


class PodStatistics(Protocol):
    """Implemented by `stats.provider.Statistics`."""

    async def pods(self, *, fresh: bool = False) -> PodsSnapshot: ...


class AllVolumes(Protocol):
    """Implemented by `volumes.manager.VolumeManager`."""

    def sources(self, uid: str) -> Mapping[str, VolumeSource]: ...

    async def usage(self, uid: str, wanted: Callable[[VolumeSource], bool]) -> Mapping[str, VolumeUsage]: ...


class LimitedVolumes:
    """Those whose size counts against a limit of their pod. Nobody's driver is asked as often as these are measured."""

    def __init__(self, volumes: AllVolumes) -> None:
        self._volumes = volumes

    def sources(self, uid: str) -> Mapping[str, VolumeSource]:
        return self._volumes.sources(uid)

    async def usage(self, uid: str) -> Mapping[str, VolumeUsage]:
        return await self._volumes.usage(uid, _is_limited)


class UsageReader:
    """`volumes`: measured by walks, for which nobody waits long: what is not known yet counts as nothing."""

    def __init__(self, statistics: PodStatistics, volumes: VolumeReader, files: PodFilesReader) -> None:
        self._statistics = statistics
        self._volumes = volumes
        self._files = files

    async def read(self, pods: Sequence[AgentPod], *, disks: bool) -> list[PodUsage]:
        """`disks`: volumes, logs and other files, too."""
        known = {stats.uid: stats for stats in (await self._statistics.pods(fresh=True)).pods}
        if not disks:
            return [_usage(pod, known.get(pod.uid), {}, PodFiles(time_ns=0)) for pod in pods]
        volumes = await self._volumes.read([pod.uid for pod in pods])
        files = await run_blocking(self._files.read, pods)
        return [
            _usage(pod, known.get(pod.uid), _of_volumes(volumes.get(pod.uid)), files.get(pod.uid, PodFiles(time_ns=0)))
            for pod in pods
        ]


def _is_limited(source: VolumeSource) -> bool:
    return source.volume.emptyDir is not None or is_local(source.volume)


def _usage(pod: AgentPod, stats: PodStats | None, volumes: Mapping[str, DiskUsage], files: PodFiles) -> PodUsage:
    containers = {name: ContainerUsage(logs=usage) for name, usage in files.logs.items()}
    if stats is None:
        return PodUsage(pod=pod, known=False, containers=containers, volumes=volumes, files=files.others)
    for container in stats.containers:
        found = container.stats
        memory = found.memory.working_set_bytes
        containers[container.name] = ContainerUsage(
            memory_bytes=memory.value if found.memory.HasField("working_set_bytes") else None,
            layer=of_layer(found.writable_layer),
            logs=files.logs.get(container.name, NOTHING),
        )
    linux = stats.stats.linux
    return PodUsage(
        pod=pod,
        memory_bytes=linux.memory.working_set_bytes.value,
        processes=linux.process.process_count.value,
        containers=containers,
        volumes=volumes,
        files=files.others,
    )


def _of_volumes(stats: PodVolumeStats | None) -> Mapping[str, DiskUsage]:
    return {} if stats is None else {name: of_volume(usage) for name, usage in stats.volumes.items()}
