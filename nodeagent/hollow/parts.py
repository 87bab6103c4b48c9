"""The parts of a hollow node: those of any agent, but for what would touch the machine."""

import functools
from collections.abc import Mapping

from nodeagent import folders
from nodeagent.api.client import ApiClient, Sender
from nodeagent.api.cluster import InformedCluster
from nodeagent.api.events import Events
from nodeagent.api.objects import Objects
from nodeagent.assembly.host import Host
from nodeagent.assembly.parts import Part
from nodeagent.assembly.running import Scope
from nodeagent.assembly.runtimes import Runtimes
from nodeagent.config import Config
from nodeagent.folders import Folders
from nodeagent.hollow.volumes import EmptyVolumes, UnwrittenVolume
from nodeagent.main import PARTS
from nodeagent.metrics.runtime_operations import RuntimeOperationMetrics
from nodeagent.node.state import NodeState
from nodeagent.pods.manager import PodManager
from nodeagent.pods.paths import PodPaths
from nodeagent.resources.devices.inventory import Inventory
from nodeagent.resources.devices.manager import DeviceManager
from nodeagent.resources.devices.registration import FOLDER
from nodeagent.resources.devices.state import DeviceState
from nodeagent.volumes.claims.resolver import ApiClaimStatuses, ClaimResolver
from nodeagent.volumes.contract import VolumePlugin
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.manager import VolumeManager
from nodeagent.volumes.sources import ProjectedSources
from nodeagent.volumes.types.config_map import CONFIG_MAP
from nodeagent.volumes.types.downward_api import DownwardAPIPlugin
from nodeagent.volumes.types.object_keys import ObjectKeysPlugin
from nodeagent.volumes.types.payload_budget import PayloadBudget
from nodeagent.volumes.types.projected import ProjectedPlugin
from nodeagent.volumes.types.secret import SECRET
from runtimes.hollow.factory import hollow_runtime
from runtimes.plugins import Contained
from runtimes.registry import RuntimeRegistry

HANDLER = "hollow"


class Sight:
    """What the fleet sees of one of its nodes; `look` is its last part."""

    def __init__(self) -> None:
        self._cluster: InformedCluster | None = None
        self._pods: PodManager | None = None

    def opened(self, cluster: InformedCluster, pods: PodManager) -> None:
        self._cluster, self._pods = cluster, pods

    @property
    def ready(self) -> bool:
        """As the API says."""
        node = self._cluster.own_node() if self._cluster is not None else None
        conditions = (node.status.conditions if node is not None and node.status is not None else None) or ()
        return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)

    def pods(self, phase: str = "") -> int:
        """How many of its pods, or of those in a phase, as the API says."""
        found = self._pods.active_pods() if self._pods is not None else ()
        return sum(1 for pod in found if not phase or (pod.status is not None and pod.status.phase == phase))


async def start_folders(scope: Scope, config: Config) -> Folders:
    """Below the fleet's own: nobody else uses them."""
    found = Folders.of(config.options)
    folders.make(found)
    return found


async def start_client(scope: Scope, config: Config, sender: Sender) -> ApiClient:
    return ApiClient(sender, qps=config.kubelet.kubeAPIQPS, burst=config.kubelet.kubeAPIBurst)


async def start_runtimes(scope: Scope, config: Config, host: Host) -> Runtimes:
    """The hollow one."""
    factory = Contained(hollow_runtime, {}, observe=RuntimeOperationMetrics(host.metrics).ended)
    runtime = factory(HANDLER, {"options": config.agent.runtimes[HANDLER].options}, None)
    scope.stack.push_async_callback(runtime.lifecycle.stop)
    await runtime.lifecycle.start()
    return Runtimes(registry=RuntimeRegistry({HANDLER: runtime}, HANDLER), late=())


async def start_device_manager(scope: Scope, folders: Folders, state: NodeState, paths: PodPaths) -> DeviceManager:
    """No plugin can register."""
    held = DeviceState(folders.root / FOLDER)
    inventory = Inventory(
        held, start=lambda work, name: scope.tasks.create_task(work, name=name), changed=lambda resource: None
    )
    return DeviceManager(held, inventory, begun=lambda uid: paths.pod_dir(uid).is_dir())


async def start_volumes(
    scope: Scope,
    folders: Folders,
    objects: Objects,
    projected: ProjectedSources,
    events: Events,
    state: NodeState,
    client: ApiClient,
    cluster: InformedCluster,
) -> VolumeManager:
    """What volumes are made of is fetched as ever."""
    layout, budget = Layout(folders.root), PayloadBudget()

    def allocatable() -> Mapping[str, str]:
        return state.allocatable

    plugins: tuple[VolumePlugin, ...] = (
        ObjectKeysPlugin(CONFIG_MAP, layout, allocatable, objects, budget, UnwrittenVolume),
        ObjectKeysPlugin(SECRET, layout, allocatable, objects, budget, UnwrittenVolume),
        DownwardAPIPlugin(layout, allocatable, budget, UnwrittenVolume),
        ProjectedPlugin(layout, allocatable, projected, budget, UnwrittenVolume),
        EmptyVolumes(layout),
    )
    return VolumeManager(
        layout=layout,
        plugins=plugins,
        resolvers=(ClaimResolver(client),),
        claim_statuses=ApiClaimStatuses(client),
        own_node=cluster.own_node,
        in_use_changed=state.notify,
        events=events,
    )


async def look(scope: Scope, sight: Sight, cluster: InformedCluster, pods: PodManager) -> None:
    sight.opened(cluster, pods)


INSTEAD = {
    "folders": Part("folders", start_folders),
    "API client": Part("API client", start_client),
    "runtimes": Part("runtimes", start_runtimes),
    "device manager": Part("device manager", start_device_manager),
    "volumes": Part("volumes", start_volumes),
}
# Each looks at, listens on, or changes what the nodes of a fleet do not have: a kernel, disks and images of their own.
LEFT_OUT = frozenset(
    {
        "embedded API",
        "image store",
        "pressure",
        "safety",
        "services",
        "cluster DNS",
        "storage",
        "firewall",
        "flexvolumes",
        "plugin registry",
        "pod resources",
        "statistics",
        "image garbage",
        "usages",
        "eviction",
        "local storage limits",
        "OOM watch",
        "log rotation",
        "graceful shutdown",
        "source file",
        "source http",
        "server",
        "CRI socket",
        "watchdog",
    }
)


@functools.cache
def hollow_parts() -> tuple[Part, ...]:
    """A part that agents are given anew is a hollow node's, too, unless it is named here."""
    return (*(INSTEAD.get(part.name, part) for part in PARTS if part.name not in LEFT_OUT), Part("sight", look))
