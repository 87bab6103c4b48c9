"""The node's HTTPS endpoint, and the certificate that it shows."""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path

from nodeagent.api.certificate_store import SERVING, CertificateStore
from nodeagent.api.certificates import keep_serving_certificate, serving_certificate
from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import InformedCluster
from nodeagent.assembly import certificates
from nodeagent.assembly.board import Board
from nodeagent.assembly.host import Host
from nodeagent.assembly.parts import Skip
from nodeagent.assembly.pods import Probing
from nodeagent.assembly.running import Scope
from nodeagent.config import Config, feature_gates
from nodeagent.config.flags import flags
from nodeagent.errors import AgentStartError
from nodeagent.folders import Folders
from nodeagent.metrics.build import BuildInfo
from nodeagent.metrics.health import HealthMetrics
from nodeagent.metrics.pods import PodsOnNode
from nodeagent.metrics.requests import RequestMetrics
from nodeagent.node.state import NodeState
from nodeagent.pods.manager import PodManager
from nodeagent.server.auth import Guard
from nodeagent.server.checkpoint import Checkpoints
from nodeagent.server.debug_pods import DebugPods
from nodeagent.server.flagz import Flagz
from nodeagent.server.server import NodeServer, Routes, ServerSettings
from nodeagent.server.stats import StatsHandlers
from nodeagent.server.statusz import Statusz
from nodeagent.sources.api import ApiSource
from nodeagent.standalone import EmbeddedAPI
from nodeagent.stats.provider import Statistics
from runtimes.kube.duration import seconds

log = logging.getLogger(__name__)


async def start_server(
    scope: Scope,
    config: Config,
    host: Host,
    board: Board,
    folders: Folders,
    state: NodeState,
    statistics: Statistics,
    pods: PodManager,
    probing: Probing,
    client: ApiClient | None,
    source: ApiSource | None,
    embedded: EmbeddedAPI | None,
    cluster: InformedCluster | None,
) -> NodeServer:
    """Raises AgentStartError, CertificateError."""
    kubelet = config.kubelet
    if not kubelet.enableServer:
        raise Skip("enableServer: false")
    host.metrics.register(PodsOnNode(pods.pods, host.cgroups.version))
    host.metrics.register(BuildInfo(feature_gates.acted_on(kubelet), host.machine.architecture))
    health = HealthMetrics()
    try:
        settings = server_settings(config, folders, state.host_ips, embedded)
        server = NodeServer(
            settings,
            pods,
            guard(config, client),
            healthy=pods.is_moving,
            parts=(_figures(config, host, statistics, probing, health),),
            configz=lambda: kubelet,
            pages=_pages(config, host, board),
            debug=_debug_pages(config, host, folders, pods),
            observe=RequestMetrics(host.metrics).under_way,
            observe_check=health.checked,
            checks={"podsource": lambda: not source.trouble()} if source is not None else {},
        )
        scope.stack.push_async_callback(server.stop)
        await server.start()
    except OSError as error:
        raise AgentStartError(
            f"the node's HTTPS endpoint cannot listen on {kubelet.address}:{kubelet.port}: {error}"
        ) from error
    _keep_certificate(scope, config, host, folders, state, client, cluster)
    return server


def _keep_certificate(
    scope: Scope,
    config: Config,
    host: Host,
    folders: Folders,
    state: NodeState,
    client: ApiClient | None,
    cluster: InformedCluster | None,
) -> None:
    """In force, where it is the agent's to care for it."""
    if config.kubelet.serverTLSBootstrap and config.kubelet.tlsCertFile:
        log.warning("serverTLSBootstrap: no certificate is asked for, tlsCertFile is there")
    if by_request(config):
        if client is None or cluster is None:
            raise AgentStartError(
                "serverTLSBootstrap: there is no API to issue a certificate (--kubeconfig, --standalone)"
            )
        certificates.keep_serving_certificate(scope, client, cluster, folders, config.node_name, host.metrics)
    elif not config.kubelet.tlsCertFile:
        keep = functools.partial(
            keep_serving_certificate, folders.certificates, config.node_name, lambda: state.host_ips
        )
        scope.loop(keep, "serving certificate")


def by_request(config: Config) -> bool:
    """Whether the API is to issue the serving certificate."""
    return config.kubelet.serverTLSBootstrap and not config.kubelet.tlsCertFile


def _figures(
    config: Config, host: Host, statistics: Statistics, probing: Probing, health: HealthMetrics
) -> StatsHandlers:
    return StatsHandlers(
        config.node_name, statistics, host.machine, registry=host.metrics, probes=probing.metrics, health=health
    )


def _pages(config: Config, host: Host, board: Board) -> tuple[Routes, ...]:
    """Of the process itself, as far as their gates are open."""
    kubelet = config.kubelet
    statusz = Statusz(board.statuses, started_at=board.started_at, now=host.now)
    return (
        *((statusz,) if kubelet.featureGates.get("ComponentStatusz", True) else ()),
        *((Flagz(flags(config.options)),) if kubelet.featureGates.get("ComponentFlagz", True) else ()),
    )


def _debug_pages(config: Config, host: Host, folders: Folders, pods: PodManager) -> tuple[Routes, ...]:
    kubelet = config.kubelet
    checkpoints = Checkpoints(pods, folders.checkpoints, host.now)
    return (
        DebugPods(pods.activities, host.now),
        *((checkpoints,) if kubelet.featureGates.get("ContainerCheckpoint", True) else ()),
    )


def server_settings(
    config: Config, folders: Folders, host_ips: Sequence[str], embedded: EmbeddedAPI | None
) -> ServerSettings:
    """Raises CertificateError."""
    kubelet = config.kubelet
    certificate, key = Path(kubelet.tlsCertFile), Path(kubelet.tlsPrivateKeyFile)
    awaited = by_request(config)
    if awaited:
        certificate = key = CertificateStore(folders.certificates, SERVING).current
    elif not kubelet.tlsCertFile:
        pair = serving_certificate(folders.certificates, config.node_name, host_ips)
        certificate, key = pair.certificate, pair.key
    client_ca = Path(kubelet.authentication.x509.clientCAFile) if kubelet.authentication.x509.clientCAFile else None
    if client_ca is None and embedded is not None:
        client_ca = embedded.client_ca
    return ServerSettings(
        address=kubelet.address,
        port=kubelet.port,
        certificate=certificate,
        key=key,
        certificate_awaited=awaited,
        client_ca=client_ca,
        tls=config.tls_policy,
        health_address=kubelet.healthzBindAddress,
        health_port=kubelet.healthzPort,
        debugging_handlers=kubelet.enableDebuggingHandlers,
        streaming_idle_seconds=seconds(kubelet.streamingConnectionIdleTimeout),
        pod_logs_dir=config.pod_logs_dir,
        read_only_port=kubelet.readOnlyPort,
        system_logs=kubelet.enableSystemLogHandler,
        profiling=kubelet.enableProfilingHandler,
        debug_flags=kubelet.enableDebugFlagsHandler,
        log_query=kubelet.enableSystemLogQuery,
        split_log_streams=kubelet.featureGates.get("PodLogsQuerySplitStreams", False),
    )


def guard(config: Config, client: ApiClient | None) -> Guard:
    kubelet = config.kubelet
    return Guard(
        client,
        node_name=config.node_name,
        always_allow=kubelet.authorization.mode == "AlwaysAllow",
        webhook_authentication=kubelet.authentication.webhook.enabled,
        token_seconds=seconds(kubelet.authentication.webhook.cacheTTL),
        allowed_seconds=seconds(kubelet.authorization.webhook.cacheAuthorizedTTL),
        denied_seconds=seconds(kubelet.authorization.webhook.cacheUnauthorizedTTL),
        anonymous=kubelet.authentication.anonymous.enabled,
    )
