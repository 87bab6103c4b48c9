"""The node: what it is, what its runtimes say, how the API comes to know it."""

import functools

import psutil

from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import InformedCluster
from nodeagent.api.events import Events, node_reference
from nodeagent.assembly.board import PartState
from nodeagent.assembly.cluster_dns import ClusterDNS
from nodeagent.assembly.csi import CSI
from nodeagent.assembly.host import Host
from nodeagent.assembly.parts import Skip
from nodeagent.assembly.running import Scope
from nodeagent.assembly.runtimes import Runtimes
from nodeagent.config import Config
from nodeagent.config.eviction import with_defaults
from nodeagent.container_logs.rotator import LogLimits, LogRotator
from nodeagent.errors import Misconfigured
from nodeagent.folders import Folders
from nodeagent.node import security_warnings
from nodeagent.node.addresses import node_ips
from nodeagent.node.addressing import Addressing
from nodeagent.node.capacity import InvalidReservation, Limits, capacity, check_reservations
from nodeagent.node.firewall import Firewall
from nodeagent.node.lease import LeaseRenewer
from nodeagent.node.monitor import RuntimeMonitor
from nodeagent.node.pod_cidrs import PodCIDRs
from nodeagent.node.publisher import NodeInputs, NodePublisher
from nodeagent.node.registration import Registrar, Registration
from nodeagent.node.state import NodeState
from nodeagent.node.status import NodeConfig
from nodeagent.resources import cpuset
from nodeagent.resources.devices.manager import DeviceManager
from nodeagent.sources.api import BLIND_SECONDS, ApiSource
from nodeagent.version import KUBERNETES_VERSION
from nodeagent.volumes.manager import VolumeManager
from runtimes.kube import quantity
from runtimes.kube.duration import seconds
from runtimes.linux.cgroups.contract import LIMITING

SETTLE_SECONDS = 2.0
SHUTTING_DOWN = "node is shutting down"  # against Ready, docs/facts/node-resources.md 8.3


async def start_state(scope: Scope, config: Config, host: Host, folders: Folders) -> NodeState:
    """Raises Misconfigured when more is reserved than there is, NoNodeAddress."""
    ips = await node_ips(config.node_name, config.options.node_ip)
    limits, storage_bytes = node_limits(config), psutil.disk_usage(str(folders.root)).total
    try:
        check_reservations(capacity(host.machine, limits, storage_bytes, {}), limits)
    except InvalidReservation as error:
        raise Misconfigured(str(error)) from error
    return NodeState(host.machine, limits, storage_bytes=storage_bytes, host_ips=[str(ip) for ip in ips])


async def start_monitor(scope: Scope, runtimes: Runtimes, state: NodeState) -> RuntimeMonitor:
    """Looks at the runtimes; the first time before any pod is admitted."""
    monitor = RuntimeMonitor(runtimes.registry, state.notify)
    await monitor.look()
    scope.loop(monitor.run, "runtime monitor")
    return monitor


async def start_safety(scope: Scope, config: Config, runtimes: Runtimes) -> None:
    """Warnings that are logged once, while the rest starts."""
    scope.tasks.create_task(security_warnings.log_security_warnings(config, runtimes.registry), name="safety")


async def start_firewall(scope: Scope, config: Config, folders: Folders) -> Firewall:
    if not config.kubelet.makeIPTablesUtilChains:
        raise Skip("makeIPTablesUtilChains: false")
    firewall = Firewall()
    scope.loop(firewall.run, "firewall")
    return firewall


async def start_log_rotation(scope: Scope, config: Config, runtimes: Runtimes) -> LogRotator:
    rotator = LogRotator(runtimes.registry, config.pod_logs_dir, log_limits(config))
    scope.loop(rotator.run, "log rotation")
    return rotator


async def start_publisher(
    scope: Scope,
    config: Config,
    host: Host,
    client: ApiClient,
    cluster: InformedCluster,
    source: ApiSource,
    state: NodeState,
    monitor: RuntimeMonitor,
    volumes: VolumeManager,
    csi: CSI,
    events: Events,
    devices: DeviceManager,
) -> NodePublisher:
    """Makes the Node's status; it is published once there is a Node."""

    def trouble() -> str:
        """What the API does not let this node read, and without which no pod can start; empty: nothing."""
        return source.trouble() or cluster.services_trouble(BLIND_SECONDS)

    addressing = Addressing(
        state,
        node_name=config.node_name,
        node_ip=config.options.node_ip,
        cloud_node=cluster.own_node if config.options.external_cloud else None,
    )
    return NodePublisher(
        heartbeats(client),
        node_config(config, host),
        state,
        NodeInputs(
            addresses=addressing.read,
            runtime=monitor.state,
            images=monitor.images,
            errors=(trouble, csi.records.trouble, lambda: SHUTTING_DOWN if state.shutting_down else ""),
            volumes_in_use=volumes.in_use,
        ),
        cluster.own_node,
        events,
        update_seconds=seconds(config.kubelet.nodeStatusUpdateFrequency),
        report_seconds=seconds(config.kubelet.nodeStatusReportFrequency),
        reset_extended=devices.is_new,
    )


async def start_registration(
    scope: Scope,
    config: Config,
    host: Host,
    client: ApiClient,
    cluster: InformedCluster,
    state: NodeState,
    publisher: NodePublisher,
    csi: CSI,
    events: Events,
    cluster_dns: ClusterDNS | None,
) -> None:
    """Beside the rest: static pods run, and adopted ones are kept, while the API cannot be reached."""
    own = heartbeats(client)
    registrar = Registrar(own, registration(config, host), publisher.complete)
    lease = LeaseRenewer(
        own, config.node_name, cluster.own_node, duration_seconds=config.kubelet.nodeLeaseDurationSeconds
    )
    line = scope.line("node object")

    async def register_again() -> None:
        """Somebody has deleted the Node, and the API what hangs on it."""
        await registrar.register()
        scope.tasks.create_task(csi.records.begin_again(), name="CSINode")

    async def join() -> None:
        """Register, as long as it takes; then tell of the node until the end."""
        make_again = None
        if config.kubelet.registerNode:
            line.to(PartState.STARTING)
            await registrar.register()
            line.to(PartState.RUNNING)
            make_again = register_again
        else:
            line.to(PartState.SKIPPED, "registerNode: false")
        # a node that was Ready is not to be shown as anything else for a moment
        await csi.records.settled(SETTLE_SECONDS)
        announce(config, host, events, cluster_dns)
        scope.stack.callback(cluster.node.subscribe(lambda _type, _old, new: state.notify() if new is None else None))
        scope.loop(functools.partial(publisher.run, make_again), "node status")
        scope.loop(lease.run, "lease")

    scope.tasks.create_task(join(), name="registration")


async def start_pod_cidrs(scope: Scope, runtimes: Runtimes, cluster: InformedCluster) -> PodCIDRs:
    """Tells the runtimes which addresses the cluster gave to the node's pods."""
    told = PodCIDRs(runtimes.registry, cluster.own_node)
    scope.stack.callback(cluster.node.subscribe(lambda *_: told.seen()))
    scope.loop(told.run, "pod CIDRs")
    return told


def heartbeats(client: ApiClient) -> ApiClient:
    """A way to the API that waits for nobody, and for an answer not long."""
    return client.sharing(qps=-1, burst=1, timeout_seconds=10.0)


def announce(config: Config, host: Host, events: Events, cluster_dns: ClusterDNS | None) -> None:
    """The events with which an agent begins."""
    node = node_reference(config.node_name)
    events.event(node, "Normal", "Starting", "Starting kubelet.")
    if host.cgroups.version == 1:
        text = "This node runs on cgroup v1, which Kubernetes maintains no longer: boot it with cgroup v2."
        events.event(node, "Warning", "CgroupV1", text)
    if promises := [each.field for each in config.ignored_settings if each.promise]:
        text = f"Accepted in the configuration, and not in force: {', '.join(promises)}"
        events.event(node, "Warning", "ConfigurationNotInForce", text)
    if config.options.standalone and cluster_dns is None and not config.kubelet.clusterDNS:
        text = "There is no cluster DNS: pods use the node's own name servers. See the part cluster DNS in `nodeagent status`."
        events.event(node, "Warning", "MissingClusterDNS", text)


def node_limits(config: Config) -> Limits:
    kubelet = config.kubelet
    return Limits(
        max_pods=kubelet.maxPods,
        pods_per_core=kubelet.podsPerCore,
        system_reserved=kubelet.systemReserved,
        kube_reserved=kubelet.kubeReserved,
        eviction_hard=with_defaults(kubelet.evictionHard, merge=kubelet.mergeDefaultEvictionSettings),
        reserved_cpus=len(cpuset.parse(kubelet.reservedSystemCPUs)),
    )


def node_config(config: Config, host: Host) -> NodeConfig:
    return NodeConfig(
        name=config.node_name,
        machine=host.machine,
        version=KUBERNETES_VERSION,
        port=config.kubelet.port,
        max_images=config.kubelet.nodeStatusMaxImages,
        cfs_quota=config.kubelet.cpuCFSQuota,
        lacking_controllers=tuple(name for name in LIMITING if name not in host.cgroups.controllers),
    )


def registration(config: Config, host: Host) -> Registration:
    return Registration(
        name=config.node_name,
        machine=host.machine,
        labels=dict(config.options.node_labels),
        taints=tuple(config.kubelet.registerWithTaints),
        provider_id=config.kubelet.providerID,
        external_cloud=config.options.external_cloud,
        node_ip=config.options.node_ip,
        controller_attach=config.kubelet.enableControllerAttachDetach,
        schedulable=config.options.schedulable,
    )


def log_limits(config: Config) -> LogLimits:
    kubelet = config.kubelet
    return LogLimits(
        max_bytes=quantity.value(kubelet.containerLogMaxSize),
        max_files=kubelet.containerLogMaxFiles,
        workers=kubelet.containerLogMaxWorkers,
        interval_seconds=seconds(kubelet.containerLogMonitorInterval),
    )
