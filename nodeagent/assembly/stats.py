"""Statistics: there whether the node's endpoint is served or not."""

from nodeagent.assembly.running import Scope
from nodeagent.assembly.runtimes import Runtimes
from nodeagent.config import Config
from nodeagent.folders import Folders
from nodeagent.stats.node import NodeReader
from nodeagent.stats.pods import PodReader
from nodeagent.stats.provider import Statistics
from nodeagent.stats.volumes import VolumeReader
from nodeagent.volumes.manager import VolumeManager
from runtimes.kube.duration import seconds


async def start_statistics(
    scope: Scope, config: Config, folders: Folders, runtimes: Runtimes, volumes: VolumeManager
) -> Statistics:
    """Reads when it is asked only."""
    reader = VolumeReader(volumes, period_seconds=seconds(config.kubelet.volumeStatsAggPeriod))
    scope.stack.push_async_callback(reader.stop)
    return Statistics(NodeReader(folders.root), PodReader(runtimes.registry), reader, images_dir=folders.state)
