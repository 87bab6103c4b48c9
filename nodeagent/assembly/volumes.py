"""Volumes: the types that pods may have."""

from collections.abc import Mapping
from pathlib import Path

from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import InformedCluster, NoCluster
from nodeagent.api.events import Events
from nodeagent.api.object_reads import DirectReads
from nodeagent.api.objects import Objects
from nodeagent.api.pod_certificates import NoPodCertificates, PodCertificateIssuer
from nodeagent.api.tokens import Tokens
from nodeagent.api.trust_bundles import NoTrustBundles, WatchedTrustBundles
from nodeagent.assembly.csi import CSI
from nodeagent.assembly.host import Host
from nodeagent.assembly.running import Scope
from nodeagent.config.loader import Config
from nodeagent.folders import Folders
from nodeagent.metrics.volumes import VolumeMetrics, VolumesMounted
from nodeagent.node.state import NodeState
from nodeagent.pods.manager_handle import ManagerHandle
from nodeagent.volumes.claims.expander import Unreported
from nodeagent.volumes.claims.resolver import ApiClaimStatuses, ClaimResolver
from nodeagent.volumes.contract import VolumePlugin
from nodeagent.volumes.flex.attachers import ControllerAttacher, NodeAttacher
from nodeagent.volumes.flex.drivers import FlexDrivers
from nodeagent.volumes.flex.plugin import Attacher, FlexVolumePlugin
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.manager import VolumeManager
from nodeagent.volumes.sources import ProjectedSources, SecretSource
from nodeagent.volumes.types.config_map import CONFIG_MAP
from nodeagent.volumes.types.downward_api import DownwardAPIPlugin
from nodeagent.volumes.types.empty_dir import EmptyDirPlugin
from nodeagent.volumes.types.fc import FibreChannel
from nodeagent.volumes.types.host_path import HostPathPlugin
from nodeagent.volumes.types.iscsi import Iscsi
from nodeagent.volumes.types.local import LocalPlugin
from nodeagent.volumes.types.nfs import NfsPlugin
from nodeagent.volumes.types.object_keys import ObjectKeysPlugin
from nodeagent.volumes.types.payload_budget import PayloadBudget
from nodeagent.volumes.types.projected import ProjectedPlugin
from nodeagent.volumes.types.remote_disk import RemoteDiskPlugin
from nodeagent.volumes.types.scsi import ScsiHost
from nodeagent.volumes.types.secret import SECRET


async def start_flex_drivers(
    scope: Scope,
    config: Config,
    folders: Folders,
    objects: Objects,
    events: Events,
    client: ApiClient | None,
    cluster: InformedCluster | None,
) -> FlexDrivers:
    """FlexVolume drivers: those that are there are known before a pod comes. Without a cluster, nobody else attaches volumes."""
    attacher: Attacher = NodeAttacher(config.node_name)
    if cluster is not None and config.kubelet.enableControllerAttachDetach and not config.options.standalone:
        attacher = ControllerAttacher(cluster.node)
    layout, secrets = Layout(folders.root), secret_source(objects, client)
    drivers = FlexDrivers(
        Path(config.kubelet.volumePluginDir), lambda driver: FlexVolumePlugin(driver, layout, attacher, secrets, events)
    )
    await drivers.scan()
    scope.loop(drivers.run, "drivers")
    return drivers


def secret_source(objects: Objects, client: ApiClient | None) -> SecretSource:
    """Where the secrets are read that volumes are mounted with: PersistentVolumes name them, not pods."""
    return DirectReads(client) if client is not None else objects


async def start_projected_sources(
    scope: Scope,
    objects: Objects,
    tokens: Tokens,
    events: Events,
    pods: ManagerHandle,
    client: ApiClient | None,
    cluster: InformedCluster | None,
) -> ProjectedSources:
    """What projected volumes are made of. Trust anchors and certificates are asked for when a pod wants some."""
    if client is None:
        return ProjectedSources(
            objects=objects, tokens=tokens, bundles=NoTrustBundles(), certificates=NoPodCertificates()
        )
    bundles = WatchedTrustBundles(client, pods.refresh)
    certificates = PodCertificateIssuer(client, (cluster or NoCluster()).own_node, events, pods.refresh)
    scope.stack.push_async_callback(bundles.close)
    scope.stack.push_async_callback(certificates.close)
    return ProjectedSources(objects=objects, tokens=tokens, bundles=bundles, certificates=certificates)


async def start_volumes(
    scope: Scope,
    host: Host,
    folders: Folders,
    objects: Objects,
    projected: ProjectedSources,
    events: Events,
    state: NodeState,
    client: ApiClient | None,
    flex_drivers: FlexDrivers,
    cluster: InformedCluster | None,
    csi: CSI | None,
) -> VolumeManager:
    """A type is one line here. Without an API there are no claims."""
    layout, budget, disks = Layout(folders.root), PayloadBudget(), ScsiHost()

    def allocatable() -> Mapping[str, str]:
        return state.allocatable

    plugins: tuple[VolumePlugin, ...] = (
        EmptyDirPlugin(layout, allocatable),
        HostPathPlugin(),
        LocalPlugin(layout, events),
        ObjectKeysPlugin(CONFIG_MAP, layout, allocatable, objects, budget),
        ObjectKeysPlugin(SECRET, layout, allocatable, objects, budget),
        DownwardAPIPlugin(layout, allocatable, budget),
        ProjectedPlugin(layout, allocatable, projected, budget),
        NfsPlugin(layout),
        RemoteDiskPlugin(Iscsi(disks, secret_source(objects, client)), layout, events),
        RemoteDiskPlugin(FibreChannel(disks), layout, events),
        *((csi.plugin,) if csi is not None else ()),
    )
    manager = VolumeManager(
        layout=layout,
        plugins=plugins,
        families=(flex_drivers,),
        resolvers=(ClaimResolver(client),) if client is not None else (),
        claim_statuses=ApiClaimStatuses(client) if client is not None else Unreported(),
        own_node=(cluster or NoCluster()).own_node,
        in_use_changed=state.notify,
        events=events,
        observe=VolumeMetrics(host.metrics).ended,
    )
    host.metrics.register(VolumesMounted(manager.mounted_by_plugin))
    return manager
