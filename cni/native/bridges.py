"""The bridge: made once, adopted when it is there, given its addresses again when somebody took them away."""

import errno
import os
import socket
from collections.abc import Collection

from cni.native import rtnl
from cni.native.failure import Failure
from cni.native.ipam.ranges import Range
from cni.native.namespace import require_sysctl, set_sysctls
from cni.native.netlink import NetlinkError, Socket
from cni.native.rtnl import Link
from cni.native.settings import Bridge


def ensure(host: Socket, wanted: Bridge, known: Link | None) -> Link:
    """The bridge: up, with the gateway's address of every range where it is the gateway, which forwards then.

    `known`: what this gave before, which needs not be asked again while the bridge is still that.
    """
    ranges = [item for one in wanted.addresses.sets for item in one] if wanted.is_gateway else []
    if known is not None and _index(wanted.name) == known.index:
        _ensure_gateways(host, known, ranges)
        return known
    link = find(host, wanted.name) or _create(host, wanted.name)
    if link.kind != "bridge":
        raise Failure(f"{wanted.name} already exists but is not a bridge")
    flags = rtnl.UP | (rtnl.PROMISCUOUS if wanted.promiscuous else 0)
    if link.flags & flags != flags:
        host.request(rtnl.set_flags(link.index, flags))
    for version, name in ((4, "ipv4/ip_forward"), (6, "ipv6/conf/all/forwarding")):
        if any(item.network.version == version for item in ranges):
            require_sysctl(name, "1")
    _ensure_gateways(host, link, ranges)
    return link


def find(host: Socket, name: str) -> Link | None:
    try:
        (answer,) = host.request(rtnl.get_link(name))
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return rtnl.read_link(answer)


def gateways_missing(host: Socket, link: Link, ranges: Collection[Range]) -> list[Range]:
    """Ranges whose gateway's address the bridge does not have."""
    present = _addresses(host, link)
    return [item for item in ranges if _cidr(item) not in present]


def random_mac() -> bytes:
    """One of those that are nobody's: locally administered, of one interface."""
    first, *rest = os.urandom(6)
    return bytes([(first | 0x02) & 0xFE, *rest])


def _create(host: Socket, name: str) -> Link:
    try:
        host.request(rtnl.new_bridge(name, random_mac(), 0))
        # pods are no routers, and nobody else is on the bridge whom its addresses could belong to
        set_sysctls({f"ipv6/conf/{name}/accept_ra": "0", f"ipv6/conf/{name}/accept_dad": "0"})
    except NetlinkError as error:
        if error.errno != errno.EEXIST:  # somebody else made it just now
            raise Failure(f"could not add the bridge {name}: {error}") from error
    link = find(host, name)
    if link is None:
        raise Failure(f"the bridge {name} is gone again")
    return link


def _ensure_gateways(host: Socket, link: Link, ranges: Collection[Range]) -> None:
    present = _addresses(host, link) if ranges else set()
    missing = [item for item in ranges if _cidr(item) not in present]
    if any(item.network.version == 4 for item in missing):
        others = [text for text in present - {_cidr(item) for item in ranges} if ":" not in text]
        if others:
            raise Failure(f"{link.name!r} already has an IP address different from {_cidr(missing[0])}: {others[0]}")
    for item in missing:
        try:
            host.request(rtnl.new_address(link.index, item.gateway, item.network.prefixlen))
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise Failure(f"could not give {_cidr(item)} to {link.name}: {error}") from error


def _addresses(host: Socket, link: Link) -> set[str]:
    """With their prefix lengths."""
    return {rtnl.read_address(answer) for answer in host.dump(rtnl.get_addresses(link.index))}


def _index(name: str) -> int:
    """By ioctl, which does not wait for whoever changes the host's links at the moment. 0: there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _cidr(item: Range) -> str:
    return f"{item.gateway}/{item.network.prefixlen}"
