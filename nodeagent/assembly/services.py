"""Services of a standalone node: off where a cluster has a proxy of its own. What leads them is imported when it is needed."""

import asyncio
import ipaddress
import logging

from cni.default import subnets_of
from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import InformedCluster
from nodeagent.assembly.network import pods_get_native
from nodeagent.assembly.parts import Skip
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.config.service_ranges import service_ranges
from nodeagent.standalone import EmbeddedAPI

log = logging.getLogger(__name__)

HEADLESS = "service.kubernetes.io/headless"


async def start_services(
    scope: Scope,
    config: Config,
    client: ApiClient | None,
    cluster: InformedCluster | None,
    embedded: EmbeddedAPI | None,
) -> None:
    """Follows Services and EndpointSlices. Rules stay when the agent stops, as long as there are pods: these go on."""
    table = f"{config.agent.cni.networkName}-services"
    if client is None or cluster is None or embedded is None or not are_wanted(config):
        await asyncio.to_thread(_discard, table)
        raise Skip("not standalone" if embedded is None else "services.enabled is false, or the network is not native")
    await _start(scope, config, client, cluster, pod_address(config), embedded.port, table)


def are_wanted(config: Config) -> bool:
    """Whether this agent leads Services to pods: only with an API of its own. Its network is known when this is asked."""
    enabled = config.agent.services.enabled
    return config.options.standalone and (pods_get_native(config) if enabled is None else enabled)


def pod_address(config: Config) -> str:
    """Where pods reach the embedded API: the first address of their subnet, which is their gateway; empty: nowhere.

    Of a family of which Services have addresses, as the API's own Service is to lead there.
    """
    if not are_wanted(config):
        return ""
    families = {one.version for one in service_ranges(config.agent.services.clusterIPRanges)}
    subnets = [ipaddress.ip_network(text) for text in subnets_of(config.agent.cni.subnet)]
    return str(next((subnet for subnet in subnets if subnet.version in families), subnets[0])[1])


async def _start(
    scope: Scope, config: Config, client: ApiClient, cluster: InformedCluster, address: str, port: int, name: str
) -> None:
    from lightkube.models.discovery_v1 import EndpointSlice

    from cni.native.nftables.errors import NftablesUnavailable
    from nodeagent.api.informer import Informer
    from nodeagent.services.balancing import Endpoint
    from nodeagent.services.frontends import View
    from nodeagent.services.kernel_table import KernelTable
    from nodeagent.services.proxy import ServiceProxy

    table = KernelTable(name)
    scope.stack.callback(table.close)
    try:
        await asyncio.to_thread(table.probe)
    except NftablesUnavailable as error:
        raise Skip(str(error)) from error
    await asyncio.to_thread(_warn_of_others, config, name)
    slices = Informer(client, EndpointSlice, label_selector=f"!{HEADLESS}")
    view = View(node_name=config.node_name, api=Endpoint(address, port, is_local=True))
    proxy = ServiceProxy(table, cluster.services, slices, view, scope.condition("rules"))

    async def leave() -> None:
        """Without pods nobody is led anywhere: the API ends with the agent."""
        if not proxy.leads_to_pods:
            await asyncio.to_thread(table.discard)

    scope.stack.push_async_callback(leave)
    scope.loop(slices.run, "informer")
    scope.loop(proxy.run, "services")


def _warn_of_others(config: Config, own: str) -> None:
    from cni.native.nftables.errors import NftablesError
    from cni.native.nftables.kernel import Netfilter
    from nodeagent.services.other_agents import claims_of_others

    ranges = config.agent.services.clusterIPRanges
    kernel = Netfilter()
    try:
        others = claims_of_others(kernel, own, service_ranges(ranges))
    except NftablesError as error:
        log.debug("Services of other agents cannot be looked at: %s", error)
        others = []
    finally:
        kernel.close()
    for name in others:
        log.warning(
            "another agent on this machine has Services at addresses of %s, too (table %s): pods of one are led to pods of"
            " the other, until each has its own services.clusterIPRanges",
            ", ".join(ranges),
            name,
        )


def _discard(name: str) -> None:
    """Rules of an agent before this one, which led Services, must not go on leading them."""
    from cni.native.nftables.errors import NftablesError
    from cni.native.nftables.kernel import Netfilter
    from cni.native.nftables.tables import discard

    kernel = Netfilter()
    try:
        if discard(kernel, name):
            log.info("Services are not led any more: table %s is removed", name)
    except NftablesError as error:
        log.warning("rules of Services that an agent before this one has left may be there: %s", error)
    finally:
        kernel.close()
