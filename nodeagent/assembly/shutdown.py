"""The machine's shutdown, and the service manager that stops and starts the agent."""

from nodeagent.api.events import Events, NodeEvents
from nodeagent.assembly.host import Host
from nodeagent.assembly.parts import Skip
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.folders import Folders
from nodeagent.metrics import shutdown as shutdown_metrics
from nodeagent.node.state import NodeState
from nodeagent.pods.manager import PodManager
from nodeagent.shutdown.groups import groups_of
from nodeagent.shutdown.manager import ShutdownManager, Surroundings
from nodeagent.shutdown.record import ShutdownRecord
from nodeagent.sources.merger import PodMerger


async def start_shutdown_manager(
    scope: Scope,
    config: Config,
    host: Host,
    folders: Folders,
    state: NodeState,
    pods: PodManager,
    merger: PodMerger,
    events: Events,
) -> None:
    """A machine without logind runs pods all the same; the board says that its shutdown does not wait for them."""
    kubelet = config.kubelet
    groups = groups_of(
        kubelet.shutdownGracePeriod, kubelet.shutdownGracePeriodCriticalPods, kubelet.shutdownGracePeriodByPodPriority
    )
    if not groups:
        raise Skip("shutdownGracePeriod: 0s")
    record = ShutdownRecord(folders.root)
    shutdown_metrics.register(host.metrics, record)

    async def pods_known() -> None:
        if not merger.all_seen:
            await merger.complete()

    name = "shutdown"
    manager = ShutdownManager(
        groups,
        pods,
        state,
        NodeEvents(events, config.node_name),
        record,
        scope.condition(name),
        pods_known=pods_known,
        now=host.now,
        surroundings=Surroundings(),
    )
    scope.loop(manager.run, name)
