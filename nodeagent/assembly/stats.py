"""Statistics: there whether the node's endpoint is served or not."""

from nodeagent.assembly.host import Host
from nodeagent.assembly.running import Scope
from nodeagent.assembly.runtimes import Runtimes
from nodeagent.cgroups.pod_cgroups import PodCgroups
from nodeagent.config import Config
from nodeagent.folders import Folders
from nodeagent.pods.paths import PodPaths
from nodeagent.stats.cgroup_paths import CgroupPaths
from nodeagent.stats.node import NodeReader
from nodeagent.stats.pod_cgroups import PodCgroupReader
from nodeagent.stats.pod_files import PodFilesReader
from nodeagent.stats.pods import PodReader
from nodeagent.stats.provider import Statistics
from nodeagent.stats.system_containers import AGENT, PODS, SystemContainerReader, agent_cgroup
from nodeagent.stats.volumes import VolumeReader
from nodeagent.volumes.manager import VolumeManager
from runtimes.kube.duration import seconds


async def start_statistics(
    scope: Scope,
    config: Config,
    host: Host,
    folders: Folders,
    paths: PodPaths,
    runtimes: Runtimes,
    cgroups: PodCgroups,
    volumes: VolumeManager,
) -> Statistics:
    """Reads when it is asked only."""
    reader = VolumeReader(volumes, period_seconds=seconds(config.kubelet.volumeStatsAggPeriod))
    pods = PodReader(runtimes.registry, PodCgroupReader(host.cgroups, cgroups.find))
    scope.stack.push_async_callback(reader.stop)
    groups = {cgroups.node_path: PODS, **dict.fromkeys(cgroups.class_paths, "")}
    if (own := agent_cgroup(host.cgroups.version)) is not None:
        groups[own] = AGENT
    return Statistics(
        NodeReader(folders.root),
        pods,
        reader,
        PodFilesReader(paths.log_dir, paths.hosts_file),
        SystemContainerReader(host.cgroups, groups),
        CgroupPaths(host.cgroups, cgroups.find),
        images_dir=folders.state,
    )
