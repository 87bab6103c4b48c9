"""DNS of a standalone node: off where a cluster has its own. What answers is imported when it is needed."""

import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cni.default import subnets_of
from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import InformedCluster
from nodeagent.assembly import services
from nodeagent.assembly.parts import Skip
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.pods.manager_handle import ManagerHandle
from nodeagent.pods.translation.dns import parse_resolv_conf
from nodeagent.standalone import EmbeddedAPI

log = logging.getLogger(__name__)

DEFAULT_DOMAIN = "cluster.local"


@dataclass(frozen=True, slots=True)
class ClusterDNS:
    """What pods of this node have in their resolv.conf."""

    address: str
    domain: str


async def start_cluster_dns(
    scope: Scope,
    config: Config,
    client: ApiClient | None,
    cluster: InformedCluster | None,
    embedded: EmbeddedAPI | None,
    pods: ManagerHandle,
) -> ClusterDNS:
    """Answers at the first address of the pods' subnet, which is their gateway."""
    if client is None or cluster is None or embedded is None:
        raise Skip("not standalone")
    if not services.are_wanted(config):
        raise Skip("services.enabled: false")
    if config.kubelet.clusterDNS:
        raise Skip("clusterDNS is configured")
    own = ClusterDNS(services.pod_address(config), config.kubelet.clusterDomain or DEFAULT_DOMAIN)
    await _start(scope, config, client, cluster, pods, own)
    return own


async def _start(
    scope: Scope, config: Config, client: ApiClient, cluster: InformedCluster, pods: ManagerHandle, own: ClusterDNS
) -> None:
    from lightkube.models.core_v1 import Service
    from lightkube.models.discovery_v1 import EndpointSlice

    from nodeagent.api.informer import Informer
    from nodeagent.cluster_dns.resolver import Resolver
    from nodeagent.cluster_dns.server import DNSServer
    from nodeagent.cluster_dns.upstream import Upstream
    from nodeagent.cluster_dns.zone import Zone

    zone = Zone(own.domain, _has_pod(pods))
    # `cluster.services` has all but those
    headless = Informer(client, Service, field_selector="spec.clusterIP=None")
    slices = Informer(client, EndpointSlice, label_selector=services.HEADLESS)
    known = (cluster.services, headless, slices)
    resolver = Resolver(
        zone, Upstream(_name_servers(config, own.address)), lambda: all(each.has_synced for each in known)
    )
    networks = [ipaddress.ip_network(subnet) for subnet in subnets_of(config.agent.cni.subnet)]
    server = DNSServer(resolver, own.address, networks)
    try:
        await scope.stack.enter_async_context(server.running())
    except OSError as error:
        log.warning("no cluster DNS: %s port 53: %s; pods use the node's own name servers", own.address, error.strerror)
        raise Skip(f"{own.address} port 53: {error.strerror}") from error
    for informer in (cluster.services, headless):
        informer.subscribe(lambda _type, old, new: zone.service_changed(old, new))
    slices.subscribe(lambda _type, old, new: zone.slice_changed(old, new))
    for each in (headless, slices):
        scope.loop(each.run, "informer")


def _has_pod(pods: ManagerHandle) -> Callable[[str, str], bool]:
    def has(namespace: str, address: str) -> bool:
        return any(
            pod.namespace == namespace
            and pod.status is not None
            and any(each.ip == address for each in pod.status.podIPs or ())
            for pod in pods.active_pods()
        )

    return has


def _name_servers(config: Config, own: str) -> Callable[[], list[str]]:
    """Those of the host's resolver file as of now, without this one: a question would come back for ever."""

    def read() -> list[str]:
        path = config.kubelet.resolvConf
        try:
            servers = parse_resolv_conf(Path(path).read_text(errors="replace")).servers if path else ()
        except OSError:
            servers = ()
        return [server for server in servers if server != own]

    return read
