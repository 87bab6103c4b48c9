"""Statistics: there whether the node's endpoint is served or not."""

from nodeagent.assembly.host import Host
from nodeagent.assembly.running import Scope
from nodeagent.assembly.runtimes import Runtimes
from nodeagent.cgroups.pod_cgroups import PodCgroups
from nodeagent.config import Config
from nodeagent.folders import Folders
from nodeagent.stats.node import NodeReader
from nodeagent.stats.pod_cgroups import PodCgroupReader
from nodeagent.stats.pods import PodReader
from nodeagent.stats.provider import Statistics
from nodeagent.stats.volumes import VolumeReader
from nodeagent.volumes.manager import VolumeManager
from runtimes.kube.duration import seconds


async def start_statistics(
    scope: Scope,
    config: Config,
    host: Host,
    folders: Folders,
    runtimes: Runtimes,
    cgroups: PodCgroups,
    volumes: VolumeManager,
) -> Statistics:
    """Reads when it is asked only."""
    reader = VolumeReader(volumes, period_seconds=seconds(config.kubelet.volumeStatsAggPeriod))
    pods = PodReader(runtimes.registry, PodCgroupReader(host.cgroups, cgroups.find))
    scope.stack.push_async_callback(reader.stop)
    return Statistics(NodeReader(folders.root), pods, reader, images_dir=folders.state)
