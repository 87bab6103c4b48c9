"""Other agents on this machine: two tables that lead one address lead it to the pods of whichever was there first."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from cni.native.nftables import messages
from cni.native.nftables.errors import NftablesError
from cni.native.nftables.kernel import Netfilter
from cni.native.nftables.tables import dump_elements, version_there
from nodeagent.services.table import FAMILIES, services_table


def claims_of_others(kernel: Netfilter, own: str, ranges: Collection[IPv4Network | IPv6Network]) -> list[str]:
    """The tables of other agents with Services at addresses of the ranges. Raises NftablesError. Blocks."""
    tables = {messages.read_chain(body)[0] for body in kernel.dump(messages.get_chains())}
    return [
        name
        for name in sorted(tables - {own})
        if any(address in each for address in _cluster_addresses(kernel, name) for each in ranges)
    ]


def _cluster_addresses(kernel: Netfilter, name: str) -> list[IPv4Address | IPv6Address]:
    """None, of a table that is not an agent's, is gone, or is not for Services."""
    try:
        if version_there(kernel, name) is None:
            return []
        table = services_table(name)
        sets = [family.cluster_addresses for family in FAMILIES.values()]
        return [ip_address(element.key[0]) for each in sets for element in dump_elements(kernel, table, each)]
    except NftablesError:
        return []
