"""Eviction: what the node is short of, and who has to go for it."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from nodeagent.api.events import Events, NodeEvents
from nodeagent.assembly.cgroup_driver import CgroupDriver
from nodeagent.assembly.cgroups import PODS, pod_cgroups
from nodeagent.assembly.host import Host
from nodeagent.assembly.parts import Skip
from nodeagent.assembly.running import Scope
from nodeagent.assembly.runtimes import Runtimes
from nodeagent.cgroups.pod_cgroups import PodCgroups
from nodeagent.config import Config
from nodeagent.config.eviction import Signal, with_defaults
from nodeagent.eviction.evictor import Evictor, Reclaim
from nodeagent.eviction.local_storage import LocalStorage
from nodeagent.eviction.oom_watch import KMSG, OOMWatch
from nodeagent.eviction.pressure import PressureWatch
from nodeagent.eviction.signals import Disks, Folders, MemoryAndPids, bounds
from nodeagent.eviction.thresholds import Settings, thresholds
from nodeagent.eviction.usage_reader import LimitedVolumes, UsageReader
from nodeagent.eviction.wakeups import KernelWakeups
from nodeagent.images.gc import ImageGarbage
from nodeagent.metrics.eviction import EvictionMetrics
from nodeagent.node.state import NodeState
from nodeagent.pods.manager import PodManager
from nodeagent.pods.paths import PodPaths
from nodeagent.stats.pod_files import PodFilesReader
from nodeagent.stats.provider import Statistics
from nodeagent.stats.volumes import VolumeReader
from nodeagent.volumes.manager import VolumeManager
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.kube.duration import seconds
from runtimes.registry import RuntimeRegistry

USAGE_SECONDS = 1.0  # so long a measurement of volumes counts; logs are measured each time


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What pods use, and where evictions are counted."""

    usages: UsageReader
    metrics: EvictionMetrics


async def start_pressure(
    scope: Scope, config: Config, host: Host, state: NodeState, runtimes: Runtimes, driver: CgroupDriver
) -> PressureWatch:
    """Looks for the first time before any pod is judged."""
    cgroups = pod_cgroups(config, driver, host.cgroups)
    options = config.options
    watch = PressureWatch(
        state,
        thresholds(eviction_settings(config)),
        memory_and_pids=MemoryAndPids(
            host.cgroups,
            root=cgroups.root_path,
            pods=cgroups.node_path,
            memory_bytes=host.machine.memory_bytes,
            max_pids=host.machine.max_pids,
        ).read,
        disks=Disks(),
        folders=functools.partial(_folders, options.root_dir, runtimes.registry),
        first_guess=Folders(node=options.root_dir, images=options.state_dir, containers=options.state_dir),
        transition_seconds=seconds(config.kubelet.evictionPressureTransitionPeriod),
    )
    await watch.look(first=True)
    return watch


async def start_usages(
    scope: Scope, host: Host, statistics: Statistics, volumes: VolumeManager, paths: PodPaths
) -> Measured:
    reader = VolumeReader(LimitedVolumes(volumes), period_seconds=USAGE_SECONDS)
    scope.stack.push_async_callback(reader.stop)
    usages = UsageReader(statistics, reader, PodFilesReader(paths.log_dir, paths.hosts_file))
    return Measured(usages=usages, metrics=EvictionMetrics(host.metrics))


async def start_eviction(
    scope: Scope,
    config: Config,
    host: Host,
    watch: PressureWatch,
    cgroups: PodCgroups,
    pods: PodManager,
    measured: Measured,
    garbage: ImageGarbage,
    events: Events,
) -> None:
    def headroom() -> int | None:
        known = (watch.distance_bytes(signal) for signal in (Signal.MEMORY, Signal.ALLOCATABLE_MEMORY))
        return min((distance for distance in known if distance is not None), default=None)

    levels = ("/", *bounds(cgroups.root_path), cgroups.node_path)
    wakeups = KernelWakeups(host.cgroups, levels, headroom=headroom)
    wakeups.start()
    scope.stack.callback(wakeups.close)
    evictor = Evictor(
        watch,
        pods,
        measured.usages,
        events,
        NodeEvents(events, config.node_name),
        Reclaim(dead_containers=pods.remove_dead, unused_images=garbage.delete_unused),
        wakeups,
        maximum_grace_seconds=config.kubelet.evictionMaxPodGracePeriod,
        counted=measured.metrics.evicted,
    )
    scope.loop(evictor.run, "eviction")


async def start_local_storage(
    scope: Scope, config: Config, watch: PressureWatch, pods: PodManager, measured: Measured, events: Events
) -> None:
    """Pods' own limits."""
    if not config.kubelet.localStorageCapacityIsolation:
        raise Skip("localStorageCapacityIsolation: false")
    looks = LocalStorage(watch, pods, measured.usages, events, counted=measured.metrics.evicted)
    scope.loop(looks.run, "local storage limits")


async def start_oom_watch(scope: Scope, config: Config, host: Host, events: Events, driver: CgroupDriver) -> None:
    if not os.access(KMSG, os.R_OK):
        raise Skip(f"{KMSG} cannot be read: there are no events of processes that the kernel kills for want of memory")
    cgroups = pod_cgroups(config, driver, host.cgroups)
    watch = OOMWatch(NodeEvents(events, config.node_name), tuple(bounds(cgroups.root_path)))
    scope.loop(watch.run, "OOM watch")


def eviction_settings(config: Config) -> Settings:
    kubelet = config.kubelet
    return Settings(
        hard=with_defaults(kubelet.evictionHard, merge=kubelet.mergeDefaultEvictionSettings),
        soft=kubelet.evictionSoft,
        soft_grace_seconds={signal: seconds(text) for signal, text in kubelet.evictionSoftGracePeriod.items()},
        minimum_reclaim=kubelet.evictionMinimumReclaim,
        enforced=PODS in kubelet.enforceNodeAllocatable,
    )


async def _folders(root_dir: Path, registry: RuntimeRegistry) -> Folders | None:
    """Where the default runtime has its images and what its containers write; None while it cannot say."""
    try:
        answer = await registry.get("").images.image_fs_info(cri.ImageFsInfoRequest())
    except RuntimeFault:
        return None
    images = [Path(usage.fs_id.mountpoint) for usage in answer.image_filesystems]
    if not images:
        return None
    containers = [Path(usage.fs_id.mountpoint) for usage in answer.container_filesystems] or images
    return Folders(node=root_dir, images=images[0], containers=containers[0])
