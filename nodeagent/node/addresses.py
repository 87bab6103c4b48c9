"""Which IPs the node is reached at. Source: docs/facts/node-resources.md 8.2 (1.), 1.3 (--node-ip)."""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from lightkube.models.core_v1 import NodeAddress

log = logging.getLogger(__name__)

IP = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOKUP_TIMEOUT_SECONDS = 5.0
_IFF_UP = 0x1  # linux/if.h
RTF_UP, RTF_GATEWAY = 0x1, 0x2  # linux/route.h


class NoNodeAddress(Exception):
    """No IP of this machine can serve as the node's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInterface:
    """A network interface that is up, and its addresses in the kernel's order."""

    name: str
    addresses: tuple[IP, ...]


def host_interfaces() -> list[HostInterface]:
    """Return the interfaces that are up and have addresses. Every pod has one of the host's, so none is asked for more."""
    found = []
    for name, addresses in psutil.net_if_addrs().items():
        texts = [
            item.address.partition("%")[0] for item in addresses if item.family in (socket.AF_INET, socket.AF_INET6)
        ]
        if texts and _is_up(name):
            found.append(HostInterface(name=name, addresses=tuple(ipaddress.ip_address(text) for text in texts)))
    return found


def _is_up(name: str) -> bool:
    """Not known: as good as up."""
    try:
        return bool(int(Path(f"/sys/class/net/{name}/flags").read_text(), 16) & _IFF_UP)
    except (OSError, ValueError):
        return True


def default_route_interfaces(root: Path = Path("/")) -> list[str]:
    """Return the interfaces that default routes leave by, IPv4 first, best metric first."""
    found = [
        (4, int(fields[6]), fields[0])
        for fields in _table(root / "proc/net/route")
        if len(fields) > 7 and fields[1] == fields[7] == "00000000" and int(fields[3], 16) & RTF_UP
    ]
    found += [
        (6, int(fields[5], 16), fields[9])
        for fields in _table(root / "proc/net/ipv6_route")
        if len(fields) > 9 and fields[0] == "0" * 32 and fields[1] == "00" and int(fields[8], 16) & RTF_GATEWAY
    ]
    return list(dict.fromkeys(name for _, _, name in sorted(found)))


def usable(address: IP, interfaces: Iterable[HostInterface]) -> str:
    """Return why `address` cannot be a node IP, empty when it can."""
    if address.is_unspecified:
        return f"nodeIP can't be all zeros address: {address}"
    if address.is_loopback:
        return f"nodeIP can't be loopback address: {address}"
    if address.is_multicast:
        return f"nodeIP can't be a multicast address: {address}"
    if address.is_link_local:
        return f"nodeIP can't be a link-local unicast address: {address}"
    if not any(address in interface.addresses for interface in interfaces):
        return f"node IP: {address} not found in the host's network interfaces"
    return ""


def parse_node_ips(text: str) -> list[IP]:
    """Return the IPs of --node-ip: none, one, or one of each family; others are left out with a log line."""
    found: list[IP] = []
    for part in (item.strip() for item in text.split(",") if item.strip()):
        try:
            address = ipaddress.ip_address(part)
        except ValueError:
            log.warning("ignoring --node-ip %r: not an IP address", part)
            continue
        if any(other.version == address.version for other in found) or (found and address.is_unspecified):
            log.warning("ignoring --node-ip %s: at most one address of each family", address)
            continue
        found.append(address)
    return found


def choose(
    node_name: str,
    wanted: Sequence[IP],
    resolved: Sequence[IP],
    interfaces: Sequence[HostInterface],
    default_interfaces: Sequence[str],
) -> list[IP]:
    """Return the node's IPs, the primary first. Pure. Raises NoNodeAddress.

    `wanted`: from --node-ip; `resolved`: what DNS says of the node name. Order: --node-ip, the name if it is an IP, DNS,
    the default route's interface; and, beyond the kubelet, any other address of the machine, so that one without a
    default route is a node too.
    """
    explicit = [address for address in wanted if not address.is_unspecified]
    for address in explicit:
        if reason := usable(address, interfaces):
            raise NoNodeAddress(f"failed to validate nodeIP: {reason}")
    if explicit:
        return explicit
    prefer = 6 if wanted and wanted[0].version == 6 else 4
    try:
        named = [ipaddress.ip_address(node_name)]
    except ValueError:
        named = []
    by_name = {interface.name: interface for interface in interfaces}
    routed = [address for name in default_interfaces if name in by_name for address in by_name[name].addresses]
    everything = [address for interface in interfaces for address in interface.addresses]
    for candidates in (named, resolved, routed, everything):
        good = [address for address in candidates if not usable(address, interfaces)]
        if good:
            return [next((address for address in good if address.version == prefer), good[0])]
    raise NoNodeAddress(f"can't get ip address of node {node_name}: no usable address on any interface")


async def node_ips(node_name: str, node_ip: str = "") -> list[IP]:
    """Return the IPs of this machine as a node. Raises NoNodeAddress."""
    wanted = parse_node_ips(node_ip)
    resolved = [] if any(not address.is_unspecified for address in wanted) else await _lookup(node_name)
    return choose(node_name, wanted, resolved, host_interfaces(), default_route_interfaces())


def node_addresses(ips: Iterable[IP], hostname: str) -> list[NodeAddress]:
    """Return status.addresses: internal IPs, then the host name."""
    found = [NodeAddress(type="InternalIP", address=str(ip)) for ip in ips]
    return [*found, NodeAddress(type="Hostname", address=hostname)]


async def _lookup(name: str) -> list[IP]:
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT_SECONDS):
            answers = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
        log.debug("node name %s does not resolve: %s", name, error)
        return []
    return [ipaddress.ip_address(str(address[4][0]).partition("%")[0]) for address in answers]


def _table(path: Path) -> list[list[str]]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    return [line.split() for line in lines]
