"""Volumes: the types that pods may have."""

from collections.abc import Mapping

from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import InformedCluster, NoCluster
from nodeagent.api.events import Events
from nodeagent.api.objects import Objects
from nodeagent.api.tokens import Tokens
from nodeagent.assembly.csi import CSI
from nodeagent.assembly.running import Scope
from nodeagent.folders import Folders
from nodeagent.node.state import NodeState
from nodeagent.volumes.claims import ApiClaimStatuses, ClaimResolver
from nodeagent.volumes.config_map import CONFIG_MAP
from nodeagent.volumes.contract import VolumePlugin
from nodeagent.volumes.downward_api import DownwardAPIPlugin
from nodeagent.volumes.empty_dir import EmptyDirPlugin
from nodeagent.volumes.expander import Unreported
from nodeagent.volumes.host_path import HostPathPlugin
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.local import LocalPlugin
from nodeagent.volumes.manager import VolumeManager
from nodeagent.volumes.object_keys import ObjectKeysPlugin
from nodeagent.volumes.payload_budget import PayloadBudget
from nodeagent.volumes.projected import ProjectedPlugin
from nodeagent.volumes.secret import SECRET


async def start_volumes(
    scope: Scope,
    folders: Folders,
    objects: Objects,
    tokens: Tokens,
    events: Events,
    state: NodeState,
    client: ApiClient | None,
    cluster: InformedCluster | None,
    csi: CSI | None,
) -> VolumeManager:
    """A type is one line here. Without an API there are no claims."""
    layout, budget = Layout(folders.root), PayloadBudget()

    def allocatable() -> Mapping[str, str]:
        return state.allocatable

    plugins: tuple[VolumePlugin, ...] = (
        EmptyDirPlugin(layout, allocatable),
        HostPathPlugin(),
        LocalPlugin(layout, events),
        ObjectKeysPlugin(CONFIG_MAP, layout, allocatable, objects, budget),
        ObjectKeysPlugin(SECRET, layout, allocatable, objects, budget),
        DownwardAPIPlugin(layout, allocatable, budget),
        ProjectedPlugin(layout, allocatable, objects, tokens, budget),
        *((csi.plugin,) if csi is not None else ()),
    )
    return VolumeManager(
        layout=layout,
        plugins=plugins,
        resolvers=(ClaimResolver(client),) if client is not None else (),
        claim_statuses=ApiClaimStatuses(client) if client is not None else Unreported(),
        own_node=(cluster or NoCluster()).own_node,
        in_use_changed=state.notify,
        events=events,
    )
