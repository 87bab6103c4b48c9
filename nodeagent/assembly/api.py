"""The API: the embedded one, the client, and what is read from it and told to it for the whole node."""

import asyncio
from pathlib import Path

from cni.default import write_default
from nodeagent.api import kubeconfig
from nodeagent.api.bootstrap import Bootstrap, bootstrap
from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import Cluster, InformedCluster, NoCluster
from nodeagent.api.events import EventRecorder, Events, LoggingEvents
from nodeagent.api.object_reads import CachedReads, DirectReads, ttl_seconds
from nodeagent.api.objects import ObjectCache, Objects, StaticOnly
from nodeagent.api.tokens import NoTokens, TokenManager, Tokens
from nodeagent.api.transport import Transport
from nodeagent.assembly.certificates import keep_client_certificate, renewable
from nodeagent.assembly.host import Host
from nodeagent.assembly.network import own_network
from nodeagent.assembly.parts import Skip
from nodeagent.assembly.running import Scope
from nodeagent.assembly.services import pod_address
from nodeagent.config import Config
from nodeagent.folders import Folders
from nodeagent.metrics.api_requests import ApiRequestMetrics
from nodeagent.metrics.exec_plugin import ExecPluginMetrics
from nodeagent.pods.manager_handle import ManagerHandle
from nodeagent.standalone import EmbeddedAPI, EmbeddedAPISettings
from nodeagent.standby import Standby

EMBEDDED_QPS = 1000


async def start_embedded_api(scope: Scope, config: Config, folders: Folders, standby: Standby | None) -> EmbeddedAPI:
    """A process of its own. Raises APINotStarted."""
    if not config.options.standalone:
        raise Skip("--standalone is not given")
    if config.agent.cni.provider != "native":
        write_default(Path(config.agent.cni.confDir), await asyncio.to_thread(own_network, config))
    embedded = EmbeddedAPI(
        EmbeddedAPISettings(
            state_dir=folders.state,
            node_name=config.node_name,
            address=config.agent.apiServer.address,
            port=config.agent.apiServer.port,
            service_ranges=config.agent.services.clusterIPRanges,
            node_ports=config.agent.services.nodePortRange,
            pod_address=pod_address(config),
            tls=config.tls_policy,
        ),
        scope.condition("process"),
        standby,
    )
    scope.stack.push_async_callback(embedded.stop)
    await embedded.start()
    scope.loop(embedded.watch, "embedded API")
    return embedded


async def start_client(
    scope: Scope, config: Config, host: Host, folders: Folders, embedded: EmbeddedAPI | None
) -> ApiClient:
    """Raises BootstrapError, KubeconfigError."""
    path = embedded.node_kubeconfig if embedded is not None else config.options.kubeconfig
    if path is None:
        raise Skip("no API endpoint is configured (--kubeconfig or --standalone)")
    if embedded is None and config.options.bootstrap_kubeconfig is not None:
        await bootstrap(
            Bootstrap(
                kubeconfig=path,
                bootstrap_kubeconfig=config.options.bootstrap_kubeconfig,
                certificates=folders.certificates,
                node_name=config.node_name,
            )
        )
    qps, burst = config.kubelet.kubeAPIQPS, config.kubelet.kubeAPIBurst
    if embedded is not None:
        # an API of this node alone has nobody to be protected for; the limits of a cluster would only delay its pods
        qps, burst = max(qps, EMBEDDED_QPS), max(burst, EMBEDDED_QPS)
    connection = kubeconfig.load(path, plugin_observer=ExecPluginMetrics(host.metrics))
    if config.kubelet.rotateCertificates:
        connection = renewable(connection, folders)
    transport = Transport(connection, observer=ApiRequestMetrics(host.metrics, connection.host))
    client = await scope.stack.enter_async_context(ApiClient(transport, qps=qps, burst=burst))
    if config.kubelet.rotateCertificates:
        await keep_client_certificate(scope, connection, client, folders, config.node_name, host.metrics)
    return client


async def start_events(scope: Scope, config: Config, client: ApiClient | None) -> Events:
    """Sent to the API, or written to the log."""
    if client is None:
        return LoggingEvents()
    own = client.sharing(qps=config.kubelet.eventRecordQPS or -1, burst=config.kubelet.eventBurst)
    recorder = EventRecorder(own, config.node_name)
    scope.loop(recorder.run, "events")
    return recorder


async def start_cluster(scope: Scope, config: Config, client: ApiClient) -> InformedCluster:
    """The watches that are for the whole node."""
    cluster = InformedCluster(client, config.node_name)
    for informer in cluster.informers:
        scope.loop(informer.run, "informer")
    return cluster


async def start_objects(
    scope: Scope, config: Config, pods: ManagerHandle, client: ApiClient | None, cluster: InformedCluster | None
) -> Objects:
    """The pods' secrets and config maps."""
    if client is None:
        return StaticOnly()
    made = objects(config, client, pods, cluster or NoCluster())
    if isinstance(made, ObjectCache):
        scope.stack.push_async_callback(made.close)
    return made


async def start_tokens(scope: Scope, client: ApiClient | None) -> Tokens:
    """Tokens of service accounts."""
    return TokenManager(client) if client is not None else NoTokens()


def objects(config: Config, client: ApiClient, pods: ManagerHandle, cluster: Cluster) -> Objects:
    """By the strategy that the configuration names. An `ObjectCache` is to be closed."""
    match config.kubelet.configMapAndSecretChangeDetectionStrategy:
        case "Get":
            return DirectReads(client)
        case "Cache":
            return CachedReads(client, lambda: ttl_seconds(cluster.own_node()))
        case _:
            return ObjectCache(client, changed=pods.refresh)
