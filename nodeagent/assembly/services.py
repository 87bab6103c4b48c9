"""Services of a standalone node: off where a cluster has a proxy of its own."""

import asyncio
import ipaddress

from lightkube.models.discovery_v1 import EndpointSlice

from cni.native.nftables.errors import NftablesError, NftablesUnavailable
from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import InformedCluster
from nodeagent.api.informer import Informer
from nodeagent.assembly.parts import Skip
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.services.balancing import Endpoint
from nodeagent.services.frontends import View
from nodeagent.services.kernel_table import KernelTable
from nodeagent.services.proxy import ServiceProxy
from nodeagent.standalone import EmbeddedAPI

_HEADLESS = "service.kubernetes.io/headless"


async def start_services(
    scope: Scope,
    config: Config,
    client: ApiClient | None,
    cluster: InformedCluster | None,
    embedded: EmbeddedAPI | None,
) -> ServiceProxy:
    """Follows Services and EndpointSlices. Rules stay when the agent stops: its pods go on."""
    table = KernelTable(f"{config.agent.cni.networkName}-services")
    scope.stack.callback(table.close)
    if client is None or cluster is None or embedded is None or not are_wanted(config):
        await _discard(table)
        raise Skip("no Services are led to pods here" if embedded is None else "services.enabled: false")
    try:
        await asyncio.to_thread(table.probe)
    except NftablesUnavailable as error:
        raise Skip(str(error)) from error
    slices = Informer(client, EndpointSlice, label_selector=f"!{_HEADLESS}")
    view = View(node_name=config.node_name, api=Endpoint(pod_address(config), embedded.port, is_local=True))
    proxy = ServiceProxy(table, cluster.services, slices, view, scope.condition("rules"))
    scope.loop(slices.run, "informer")
    scope.loop(proxy.run, "services")
    return proxy


def are_wanted(config: Config) -> bool:
    """Whether this agent leads Services to pods: only with an API of its own."""
    return config.options.standalone and bool(config.agent.services.enabled)


def pod_address(config: Config) -> str:
    """Where pods reach the embedded API: the first address of their subnet, which is their gateway; empty: nowhere."""
    return str(ipaddress.ip_network(config.agent.cni.subnet)[1]) if are_wanted(config) else ""


async def _discard(table: KernelTable) -> None:
    """Rules of an agent before this one, which led Services, must not go on leading them."""
    try:
        await asyncio.to_thread(table.discard)
    except NftablesError:
        return  # without a packet filter there is nothing left over
